//! What a user sees of a run: the answer on the terminal, the summary, the result files, the
//! plots, the page, and the chain of events behind a pod.
//!
//! Everything is made from a [`Report`]: the run's results and what became of its expectations.
//! Equal reports give equal bytes, but for the CPU time.
//!
//! ```
//! use seatrial_api::units::Span;
//! use seatrial_reports::{Report, Summary, text};
//! # use seatrial_sim_core::results::{Evictions, Results};
//! # let results = Results {
//! #     name: "steady".into(), seed: 1, trace_hash: 2, events: 3, simulated: Span::from_mins(10),
//! #     start_unix_seconds: 0, event_rows: vec![], pods: vec![], nodes: vec![], services: vec![],
//! #     series: vec![], faults: vec![], evictions: Evictions::default(), cost_usd: 0.0, not_played: vec![],
//! # };
//! let report = Report {
//!     results: &results,
//!     expectations: &[],
//!     seatrial_version: "0.1.0",
//!     kubernetes_version: "1.36",
//!     cpu: Span::from_millis(7),
//!     reproducible: true,
//! };
//! let summary = Summary::new(&report);
//! print!("{}", text::render(&summary, &text::Options::default()));
//! ```

mod amounts;
pub mod compare;
pub mod directory;
pub mod explain;
mod matrix;
pub mod metrics;
mod page;
mod plots;
mod quantiles;
mod ranking;
mod redact;
mod report;
pub mod summary;
mod tables;
pub mod text;
mod timeline;

pub use report::Report;
pub use summary::Summary;
