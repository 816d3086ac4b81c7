//! `tetris`: alignment, and jobs with less work left first.

use crate::config::QueueDiscipline;

use super::alignment::Alignment;
use super::{Parameter, Policy, score_by};
use crate::framework::Plugin;

pub(super) const POLICY: Policy = Policy {
    name: "tetris",
    about: "Of the first waiting pods of all jobs, the one with the best combination of alignment and little work \
            left in its job goes next, to the node on which its alignment is largest. So jobs finish early, and \
            machines are packed well. A job is what one controller owns, or a bare pod; among more than 64 jobs, \
            the 64 with the least work left are looked at.",
    formula: "argmax over jobs j and nodes n of a(j, n) − ε × p(j); a: alignment (see there); p(j) = Σ over the pods \
              of j that are not over of expected run time × Σ_r request_r / total_r; ε = mean a / mean p over the \
              jobs that wait and fit",
    source: "R. Grandl, G. Ananthanarayanan, S. Kandula, S. Rao, A. Akella, \"Multi-Resource Packing for Cluster \
             Schedulers\" (Tetris), SIGCOMM 2014, sections 3.2 and 3.3",
    parameters: &[Parameter {
        name: "annotation seatrial.dev/expected-run-time of a pod",
        default: "the mean of runTime of the first podProfile that selects it",
        about: "how long the pod is expected to run, such as 90s or 2h; 24h if nothing says it",
    }],
    plugin: None,
    adjust: |configuration| {
        score_by(configuration, Alignment.name());
        configuration.queue.discipline = QueueDiscipline::Tetris;
    },
};
