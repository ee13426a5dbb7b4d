//! How a snapshot is printed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

use super::table::Snapshot;

/// Further down it goes on at the left margin: indentation is a cost of its own, and nobody can read it.
const DEEPEST: usize = 24;

/// A line of the tree: a task that is not done, or something else that is awaited, by their places.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Item {
    Task(usize),
    Awaited(usize),
}

struct Tree<'a> {
    snapshot: &'a Snapshot,
    /// The places of the tasks, by their numbers.
    tasks: HashMap<u64, usize>,
    /// What has been printed with what is below it.
    shown: HashSet<Item>,
    /// What is to be printed at the left margin, because it was too far down.
    deeper: VecDeque<Item>,
}

/// Something on the way down, and how far its children have been printed.
struct Level {
    item: Item,
    children: Vec<Item>,
    next: usize,
    is_last: bool,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ready, posted, .. } = self;
        write!(f, "event loop created at {}: ", self.created_at)?;
        write!(f, "{ready} ready, {posted} posted, ")?;
        match self.timers.as_slice() {
            [] => f.write_str("no timer"),
            [only] => write!(f, "1 timer, at {:?}", only.when()),
            [first, ..] => {
                let (count, when) = (self.timers.len(), first.when());
                write!(f, "{count} timers, the first at {when:?}")
            }
        }?;
        let mut tree = Tree::new(self);
        let awaited: HashSet<u64> = self.awaited.iter().filter_map(|it| it.task).collect();
        for (place, task) in self.tasks.iter().enumerate() {
            if !awaited.contains(&task.id) {
                tree.print(Item::Task(place), f)?;
            }
        }
        // What is left are circles, and what hangs on them.
        for place in 0..self.tasks.len() {
            if !tree.shown.contains(&Item::Task(place)) {
                tree.print(Item::Task(place), f)?;
            }
        }
        Ok(())
    }
}

impl<'a> Tree<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let tasks = snapshot.tasks.iter().enumerate();
        Self {
            snapshot,
            tasks: tasks.map(|(place, task)| (task.id, place)).collect(),
            shown: HashSet::new(),
            deeper: VecDeque::new(),
        }
    }

    /// Prints something and everything below it.
    fn print(&mut self, root: Item, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deeper.push_back(root);
        while let Some(root) = self.deeper.pop_front() {
            if self.shown.insert(root) {
                self.print_below(root, f)?;
            }
        }
        Ok(())
    }

    fn print_below(&mut self, root: Item, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\n")?;
        self.describe(root, f)?;
        let mut path = vec![self.level(root, true)];
        while let Some(level) = path.last_mut() {
            let Some(&item) = level.children.get(level.next) else {
                path.pop();
                continue;
            };
            level.next += 1;
            let is_last = level.next == level.children.len();
            f.write_str("\n")?;
            for above in &path[1..] {
                f.write_str(if above.is_last { "   " } else { "│  " })?;
            }
            f.write_str(if is_last { "└─ " } else { "├─ " })?;
            self.describe(item, f)?;
            if self.below(item).is_empty() {
                self.shown.insert(item);
            } else if path.iter().any(|above| above.item == item) {
                f.write_str(" (a circle: it is further up)")?;
            } else if self.shown.contains(&item) {
                f.write_str(" (see above)")?;
            } else if path.len() == DEEPEST {
                f.write_str(" (goes on below)")?;
                self.deeper.push_back(item);
            } else {
                self.shown.insert(item);
                path.push(self.level(item, is_last));
            }
        }
        Ok(())
    }

    fn describe(&self, item: Item, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match item {
            Item::Task(place) => write!(f, "{}", self.snapshot.tasks[place]),
            Item::Awaited(place) => write!(f, "{}", self.snapshot.awaited[place]),
        }
    }

    /// The places of what is below it.
    fn below(&self, item: Item) -> &'a [usize] {
        match item {
            Item::Task(place) => &self.snapshot.tasks[place].awaits,
            Item::Awaited(place) => &self.snapshot.awaited[place].inside,
        }
    }

    fn level(&self, item: Item, is_last: bool) -> Level {
        let children = self.below(item).iter().map(|&place| {
            let task = self.snapshot.awaited[place].task;
            let task = task.and_then(|task| self.tasks.get(&task));
            task.map_or(Item::Awaited(place), |&task| Item::Task(task))
        });
        Level {
            item,
            children: children.collect(),
            next: 0,
            is_last,
        }
    }
}
