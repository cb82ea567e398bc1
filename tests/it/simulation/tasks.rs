//! An executor of one thread: which of the tasks that can go on does so is drawn from the seed.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use rand::{RngExt as _, rngs::StdRng};

struct Task {
    name: String,
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

#[derive(Default)]
pub struct Tasks {
    tasks: BTreeMap<u64, Task>,
    count: u64,
}

impl Tasks {
    pub fn spawn(&mut self, name: impl Into<String>, future: impl Future<Output = ()> + 'static) {
        self.count += 1;
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        self.tasks.insert(self.count, Task { name: name.into(), future: Box::pin(future), woken });
    }

    /// Lets one task go on; its name, or `None` where all wait.
    pub fn step(&mut self, chance: &mut StdRng) -> Option<String> {
        let able = |task: &Task| task.woken.0.load(Ordering::Acquire);
        let able: Vec<u64> =
            self.tasks.iter().filter(|(_, task)| able(task)).map(|(id, _)| *id).collect();
        if able.is_empty() {
            return None;
        }
        let id = able[chance.random_range(0..able.len())];
        let task = self.tasks.get_mut(&id)?;
        let name = task.name.clone();
        task.woken.0.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&task.woken));
        if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.tasks.remove(&id);
        }
        Some(name)
    }

    /// Some task whose name begins so goes away in the midst of what it does.
    pub fn drop_one(&mut self, begin: &str) -> Option<String> {
        let found = self.tasks.iter().find(|(_, task)| task.name.starts_with(begin));
        let id = *found?.0;
        self.tasks.remove(&id).map(|task| task.name)
    }

    /// All memory is gone.
    pub fn clear(&mut self) {
        self.tasks.clear();
    }
}
