//! The ops that do not await.

use std::time::Duration;

use callsoon::{TaskHandle, current_task};

use super::items::Item;
use super::program::{Action, Block};
use super::values::{Exc, Value, names};
use super::world::{Actor, AnyHandle, Callback};

impl Actor<'_> {
    pub(super) fn act_all(self, ops: &[Action]) {
        for op in ops {
            self.act(op);
        }
    }

    pub(super) fn act(self, op: &Action) {
        match op {
            Action::Log { text } => self.log(format!("log {text}")),
            Action::Future { r#as } => self.future(r#as),
            Action::SetResult { r#ref, value } => self.set_result(r#ref, value),
            Action::SetException { r#ref, exc } => self.set_exception(r#ref, exc),
            Action::Cancel { r#ref, msg } => self.cancel(r#ref, msg.as_deref()),
            Action::ResolvePending { of, value } => self.resolve_pending(of, value),
            Action::CancelPending { of } => self.cancel_pending(of),
            Action::CreateTask { body, r#as } => self.create_task(body, r#as),
            Action::TgCreate { tg, body, r#as } => self.tg_create(tg, body, r#as),
            Action::AddCb { r#ref, cb, ops } => self.add_cb(r#ref, cb, ops),
            Action::RemoveCb { r#ref, cb } => self.remove_cb(r#ref, cb),
            Action::CallSoon { r#as, ops } => self.call_soon(r#as, ops),
            Action::CallLater { r#as, ms, ops } => self.call_later(r#as, *ms, ops),
            Action::CallAt { r#as, at, ops } => self.call_at(r#as, *at, ops),
            Action::CancelHandle { handle } => self.cancel_handle(handle),
            Action::HandleCancelled { handle } => self.handle_cancelled(handle),
            Action::State { r#ref } => self.state(r#ref),
            Action::Result { r#ref } => self.result(r#ref),
            Action::Exception { r#ref } => self.exception(r#ref),
            Action::Cancelling { r#ref } => self.cancelling(r#ref),
            Action::Uncancel { r#ref } => self.uncancel(r#ref),
            Action::GetName { r#ref } => self.get_name(r#ref),
            Action::Current => self.current(),
            Action::AllTasks => self.all_tasks(),
            Action::Stop => self.stop(),
            Action::Gather {
                of,
                r#as,
                return_exceptions,
            } => self.gather(of, r#as, *return_exceptions),
            Action::Shield { r#ref, r#as } => self.shield(r#ref, r#as),
            Action::Reschedule { timeout, ms } => self.reschedule(timeout, *ms),
            Action::Expired { timeout } => self.expired(timeout),
            Action::VarAdd { var, n } => self.var_add(var, *n),
            Action::Release { obj } => self.release(obj),
            Action::Locked { obj } => self.locked(obj),
            Action::EventSet { obj } => self.event_set(obj),
            Action::EventClear { obj } => self.event_clear(obj),
            Action::EventIsSet { obj } => self.event_is_set(obj),
            Action::Notify { obj, n } => self.notify(obj, n),
            Action::PutNowait { obj, value } => self.put_nowait(obj, *value),
            Action::GetNowait { obj } => self.get_nowait(obj),
            Action::TaskDone { obj } => self.task_done(obj),
            Action::QueueInfo { obj } => self.queue_info(obj),
            Action::BarrierInfo { obj } => self.barrier_info(obj),
            Action::Unknown { op } => unreachable!("a program with {op} is not run"),
        }
    }
}

/// Futures and tasks.
impl Actor<'_> {
    fn future(self, name: &str) {
        let future = self.world.event_loop.create_future();
        self.world.items.bind(name, Item::promise(future));
    }

    fn set_result(self, name: &str, value: &Value) {
        if let Some(item) = self.find("set_result", name) {
            let end = accepted(item.set(Ok(value.clone())));
            self.log(format!("set_result {name} {value} {end}"));
        }
    }

    fn set_exception(self, name: &str, exc: &str) {
        if let Some(item) = self.find("set_exception", name) {
            let end = accepted(item.set(Err(Exc::error(exc))));
            self.log(format!("set_exception {name} {exc} {end}"));
        }
    }

    fn cancel(self, name: &str, message: Option<&str>) {
        if let Some(item) = self.find("cancel", name) {
            let cancelled = item.cancel(message);
            self.log(format!("cancel {name} -> {cancelled}"));
        }
    }

    fn resolve_pending(self, of: &[String], value: &Value) {
        let hit = self.pending(of, |item| _ = item.set(Ok(value.clone())));
        self.log(format!("resolve_pending {}", names(&hit)));
    }

    fn cancel_pending(self, of: &[String]) {
        let hit = self.pending(of, |item| _ = item.cancel(None));
        self.log(format!("cancel_pending {}", names(&hit)));
    }

    /// Does something to each that is not done when its turn comes, and gives their names.
    fn pending(self, of: &[String], hit: impl Fn(Item)) -> Vec<String> {
        let mut found = Vec::new();
        for (name, item) in self.world.lookup_all(of) {
            if !item.done() {
                hit(item);
                found.push(name);
            }
        }
        found
    }

    fn create_task(self, body: &str, name: &str) {
        self.world.spawn(self.world.program.body(body), name);
        self.log(format!("create {name}"));
    }

    fn add_cb(self, name: &str, cb: &str, ops: &Block<Action>) {
        let Some(item) = self.find("add_cb", name) else {
            return;
        };
        let key = (name.to_owned(), cb.to_owned());
        let ops = {
            let mut callbacks = self.world.callbacks.borrow_mut();
            let callback = callbacks.entry(key.clone()).or_insert_with(|| Callback {
                ops: ops.clone(),
                registrations: Vec::new(),
            });
            callback.ops.clone()
        };
        let (world, (name, cb)) = (self.world.clone(), key.clone());
        let id = item.add_done_callback(move |state| {
            let callback = Actor::new(&world, &cb);
            callback.log(format!("done {name} {state}"));
            callback.act_all(&ops);
        });
        let mut callbacks = self.world.callbacks.borrow_mut();
        let callback = callbacks.get_mut(&key).expect("it was put there above");
        callback.registrations.push(id);
    }

    fn remove_cb(self, name: &str, cb: &str) {
        let Some(item) = self.find("remove_cb", name) else {
            return;
        };
        let key = (name.to_owned(), cb.to_owned());
        let ids = self.world.registrations(&key);
        let removed = ids.iter().filter(|id| item.remove_done_callback(**id));
        self.log(format!("remove_cb {name} {cb} -> {}", removed.count()));
    }
}

/// Callbacks of the loop.
impl Actor<'_> {
    fn call_soon(self, name: &str, ops: &Block<Action>) {
        let handle = self.world.event_loop.call_soon(self.callback(name, ops));
        self.world.handles.bind(name, AnyHandle::Soon(handle));
    }

    fn call_later(self, name: &str, ms: u64, ops: &Block<Action>) {
        let (delay, callback) = (Duration::from_millis(ms), self.callback(name, ops));
        let handle = self.world.event_loop.call_later(delay, callback);
        self.world.handles.bind(name, AnyHandle::Timer(handle));
    }

    fn call_at(self, name: &str, at: u64, ops: &Block<Action>) {
        let when = Duration::from_millis(at.max(self.world.now()));
        let callback = self.callback(name, ops);
        let handle = self.world.event_loop.call_at(when, callback);
        self.world.handles.bind(name, AnyHandle::Timer(handle));
    }

    fn callback(self, name: &str, ops: &Block<Action>) -> impl FnOnce() + 'static {
        let (world, name) = (self.world.clone(), name.to_owned());
        let ops = ops.clone();
        move || {
            let callback = Actor::new(&world, &name);
            callback.log("run");
            callback.act_all(&ops);
        }
    }

    fn cancel_handle(self, name: &str) {
        let handle = self.world.handles.get(name);
        if let Some(handle) = self.or_unbound("cancel_handle", name, handle) {
            handle.cancel();
            self.log(format!("cancel_handle {name}"));
        }
    }

    fn handle_cancelled(self, name: &str) {
        let handle = self.world.handles.get(name);
        if let Some(handle) = self.or_unbound("handle_cancelled", name, handle) {
            self.log(format!("handle_cancelled {name} = {}", handle.cancelled()));
        }
    }

    fn stop(self) {
        self.log("stop");
        self.world.event_loop.stop();
    }
}

/// Questions.
impl Actor<'_> {
    fn state(self, name: &str) {
        if let Some(item) = self.find("state", name) {
            self.log(format!("state {name} {}", item.state()));
        }
    }

    fn result(self, name: &str) {
        if let Some(item) = self.find("result", name) {
            self.log(match item.state().result() {
                Ok(value) => format!("result {name} -> {value}"),
                Err(error) => format!("result {name} !{error}"),
            });
        }
    }

    fn exception(self, name: &str) {
        if let Some(item) = self.find("exception", name) {
            self.log(match item.state().exception() {
                Ok(Some(exc)) => format!("exception {name} -> {exc}"),
                Ok(None) => format!("exception {name} -> None"),
                Err(error) => format!("exception {name} !{error}"),
            });
        }
    }

    fn cancelling(self, name: &str) {
        if let Some(task) = self.find_task("cancelling", name) {
            self.log(format!("cancelling {name} = {}", task.cancelling()));
        }
    }

    fn uncancel(self, name: &str) {
        if let Some(task) = self.find_task("uncancel", name) {
            self.log(format!("uncancel {name} = {}", task.uncancel()));
        }
    }

    fn get_name(self, name: &str) {
        if let Some(task) = self.find_task("get_name", name) {
            self.log(format!("get_name {name} = {}", task.name()));
        }
    }

    /// What the name of a task stands for; if nothing, it is logged.
    fn find_task(self, op: &str, name: &str) -> Option<TaskHandle> {
        let item = self.find(op, name)?;
        let task = item.task_handle();
        Some(task.expect("only tasks are asked this").clone())
    }

    fn current(self) {
        let task = current_task().map(|task| self.world.name_of(&task));
        let name = task.map_or("none".to_owned(), |ours| ours.unwrap_or("anon".to_owned()));
        self.log(format!("current {name}"));
    }

    fn all_tasks(self) {
        let all = self.world.event_loop.all_tasks();
        let ours = all.iter().filter_map(|task| self.world.name_of(task));
        let mut ours: Vec<_> = ours.collect();
        ours.sort();
        self.log(format!("all_tasks {}", names(&ours)));
    }

    fn var_add(self, name: &str, n: i64) {
        let new = {
            let mut variables = self.world.variables.borrow_mut();
            let value = variables.entry(name.to_owned()).or_default();
            *value += n;
            *value
        };
        self.log(format!("var_add {name} = {new}"));
    }
}

/// What builds on tasks.
impl Actor<'_> {
    fn tg_create(self, group: &str, body: &str, name: &str) {
        let found = self.world.groups.get(group);
        let Some(group) = self.or_unbound("tg_create", group, found) else {
            return;
        };
        if group.is_closed() {
            return self.log(format!("tg_create {name} !RuntimeError"));
        }
        let body = self.world.program.body(body);
        self.world.spawn_in(&group, body, name);
        self.log(format!("tg_create {name} ok"));
    }

    fn gather(self, of: &[String], name: &str, return_exceptions: bool) {
        let children = self.world.lookup_all(of);
        let children = children.into_iter().map(|(_, item)| item).collect();
        let gather = Item::gather(children, return_exceptions);
        self.world.items.bind(name, gather);
    }

    fn shield(self, inner: &str, name: &str) {
        if let Some(inner) = self.find("shield", inner) {
            self.world.items.bind(name, Item::shield(inner));
        }
    }

    fn reschedule(self, name: &str, ms: Option<u64>) {
        let timeout = self.world.timeouts.get(name);
        if let Some(timeout) = self.or_unbound("reschedule", name, timeout) {
            let when = ms.map(|ms| Duration::from_millis(self.world.now() + ms));
            let end = match timeout.reschedule(when) {
                Ok(()) => "ok",
                Err(_) => "!RuntimeError",
            };
            self.log(format!("reschedule {name} {end}"));
        }
    }

    fn expired(self, name: &str) {
        let timeout = self.world.timeouts.get(name);
        if let Some(timeout) = self.or_unbound("expired", name, timeout) {
            let when = timeout.when().map(|when| when.as_millis().to_string());
            let when = when.unwrap_or("None".to_owned());
            self.log(format!(
                "expired {name} = {} when={when}",
                timeout.expired()
            ));
        }
    }
}

fn accepted(accepted: bool) -> &'static str {
    if accepted { "ok" } else { "!InvalidStateError" }
}
