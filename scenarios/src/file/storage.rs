//! How storage behaves.

use seatrial_api::units::{Bytes, Span};

use super::law::Law;
use crate::schema::{Placed, Text, record};

record! {
    /// How the volumes of a StorageClass behave, where the class cannot say.
    pub(crate) struct ClassStorage {
        /// The StorageClass, by its name.
        class("class"): Placed<Text>,
        /// Whether a volume can be reached from its zone alone; if absent, all but those that several nodes may have.
        zonal("zonal"): Option<bool>,
        /// How much storage there is: in each zone, or in all if volumes are not bound to one; any amount if absent.
        capacity("capacity"): Option<Bytes>,
        /// Making a volume; `latency.volumeProvision` if absent.
        provision("provision"): Option<Law<Span>>,
        /// Deleting one; `latency.volumeDelete` if absent.
        delete("delete"): Option<Law<Span>>,
        /// Attaching one; `latency.volumeAttach` if absent.
        attach("attach"): Option<Law<Span>>,
        /// Detaching one; `latency.volumeDetach` if absent.
        detach("detach"): Option<Law<Span>>,
    }
}
