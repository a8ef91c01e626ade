//! Tasks by name. Each runs for the life of the process: one that ends ends the process, with its name in the reason.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinSet};

/// The tasks of this process; dropping it stops them.
#[derive(Debug, Default)]
pub struct TaskSet {
    tasks: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, &'static str>,
}

/// How a task ended.
#[derive(Debug)]
pub struct Ended {
    /// Its name.
    pub name: &'static str,
    /// An error of its own, or its panic.
    pub result: anyhow::Result<()>,
}

impl TaskSet {
    /// Starts a task.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let id = self.tasks.spawn(task).id();
        self.names.insert(id, name);
    }

    /// The next task to end. Waits for ever when there is none.
    pub async fn ended(&mut self) -> Ended {
        let Some(ended) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(panic) => (panic.id(), Err(panic.into())),
        };
        let name = self.names.remove(&id).expect("every task was named when it was spawned");
        Ended { name, result }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_task_names_it_panics_included() {
        let mut tasks = TaskSet::default();
        tasks.spawn("stays", std::future::pending());
        tasks.spawn("fails", async { anyhow::bail!("no luck") });
        let ended = tasks.ended().await;
        assert_eq!((ended.name, ended.result.unwrap_err().to_string()), ("fails", "no luck".to_owned()));
        tasks.spawn("panics", async { panic!("broken") });
        let ended = tasks.ended().await;
        assert_eq!(ended.name, "panics");
        assert!(ended.result.unwrap_err().to_string().contains("panic"));
    }
}
