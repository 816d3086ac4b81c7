//! Symbols of the texts that statuses repeat, interned once.

use seatrial_api::symbol::Symbol;

use crate::rows::InstanceState;

/// The texts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    pub container_creating: Symbol,
    pub pod_initializing: Symbol,
    pub container_status_unknown: Symbol,
    completed: Symbol,
    error: Symbol,
    oom_killed: Symbol,
    start_error: Symbol,
    unknown: Symbol,
    pub restarting_all_containers: Symbol,
}

impl Names {
    /// Interns them.
    pub(crate) fn new() -> Names {
        Names {
            container_creating: Symbol::new("ContainerCreating"),
            pod_initializing: Symbol::new("PodInitializing"),
            container_status_unknown: Symbol::new("ContainerStatusUnknown"),
            completed: Symbol::new("Completed"),
            error: Symbol::new("Error"),
            oom_killed: Symbol::new("OOMKilled"),
            start_error: Symbol::new("StartError"),
            unknown: Symbol::new("Unknown"),
            restarting_all_containers: Symbol::new("RestartingAllContainers"),
        }
    }

    /// The reason of the end of an instance.
    pub(crate) fn end_reason(&self, state: InstanceState) -> Symbol {
        match state {
            InstanceState::Completed => self.completed,
            InstanceState::Error => self.error,
            InstanceState::OomKilled => self.oom_killed,
            InstanceState::StartError => self.start_error,
            InstanceState::Removed => self.restarting_all_containers,
            InstanceState::Absent | InstanceState::Running | InstanceState::Vanished => self.unknown,
        }
    }
}
