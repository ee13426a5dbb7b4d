//! The ops that may await, and the blocks.

use std::collections::HashSet;
use std::time::Duration;

use callsoon::{
    AsCompleted, AsCompletedTimeout, CancelledError, ReturnWhen, TaskGroup, Timeout, TimeoutError,
    Waitable, Waited, as_completed, catch_cancel, sleep, wait, wait_for, yield_now,
};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use super::items::Item;
use super::program::{Awaited, Handler, Names, Step, Then, Try, When};
use super::values::{Exc, Out, Value, sorted_names};
use super::world::Actor;

/// How a block ends that is ended neither by an error nor by a cancellation.
#[derive(Debug)]
pub(super) enum Flow {
    /// At its end: what comes after it goes on.
    Next,
    /// With a `return`, which ends the body.
    Return(Value),
}

impl<'a> Actor<'a> {
    /// Runs a body to its end, inside the running task.
    pub(super) async fn body(self, ops: &'a [Step]) -> Out {
        match self.block(ops).await? {
            Flow::Next => Ok(Value::None),
            Flow::Return(value) => Ok(value),
        }
    }

    pub(super) fn block(self, ops: &'a [Step]) -> LocalBoxFuture<'a, Result<Flow, Exc>> {
        let block = async move {
            for op in ops {
                if let Flow::Return(value) = self.step(op).await? {
                    return Ok(Flow::Return(value));
                }
            }
            Ok(Flow::Next)
        };
        block.boxed_local()
    }

    async fn step(self, op: &'a Step) -> Result<Flow, Exc> {
        match op {
            Step::Action(action) => self.act(action),
            Step::Yield => self.r#yield().await,
            Step::Sleep { ms } => self.sleep(*ms).await,
            Step::Await { r#ref, catch } => {
                let end = self.r#await(r#ref).await;
                self.caught(*catch, "await", r#ref, end)?;
            }
            Step::Call { body, catch } => {
                let end = self.call(body).await;
                self.caught(*catch, "call", body, end)?;
            }
            Step::Wait { of, when, timeout } => self.wait(of, *when, *timeout).await,
            Step::WaitFor {
                awaited,
                timeout,
                catch,
            } => {
                let end = self.wait_for(awaited, *timeout).await;
                self.caught(*catch, "wait_for", awaited.target(), end)?;
            }
            Step::Acquire { obj } => self.acquire(obj).await,
            Step::EventWait { obj } => self.event_wait(obj).await,
            Step::CondWait { obj, catch } => {
                let end = self.cond_wait(obj).await;
                self.caught(*catch, "cond_wait", obj, end)?;
            }
            Step::CondWaitFor {
                obj,
                var,
                ge,
                catch,
            } => {
                let end = self.cond_wait_for(obj, var, *ge).await;
                self.caught(*catch, "cond_wait_for", obj, end)?;
            }
            Step::BarrierWait { obj, catch } => {
                let end = self.barrier_wait(obj).await;
                self.caught(*catch, "barrier_wait", obj, end)?;
            }
            Step::BarrierReset { obj } => self.barrier_reset(obj),
            Step::BarrierAbort { obj } => self.barrier_abort(obj),
            Step::Put { obj, value, catch } => {
                let end = self.put(obj, *value).await;
                self.caught(*catch, "put", obj, end)?;
            }
            Step::Get { obj, catch } => {
                let end = self.get(obj).await;
                self.caught(*catch, "get", obj, end)?;
            }
            Step::Join { obj } => self.join(obj).await,
            Step::Return { value } => return Ok(Flow::Return(value.clone())),
            Step::Raise { exc } => return Err(Exc::error(exc)),
            Step::RaiseCancelled => CancelledError::new("").raise().await,
            Step::Repeat { n, ops } => return self.repeat(*n, ops).await,
            Step::Try(block) => return self.r#try(block).await,
            Step::With { obj, ops } => return self.with(obj, ops).await,
            Step::Timeout { ms, r#as, ops } => return self.timeout(*ms, r#as, ops).await,
            Step::Taskgroup { r#as, ops } => return self.taskgroup(r#as, ops).await,
            Step::AsCompleted { of, timeout, ops } => {
                return self.as_completed(of, *timeout, ops).await;
            }
        }
        Ok(Flow::Next)
    }

    /// Logs an error and goes on, if the op is to catch it.
    fn caught(self, catch: bool, op: &str, target: &str, end: Result<(), Exc>) -> Result<(), Exc> {
        match end {
            Err(exc) if catch => {
                self.log(format!("{op} {target} !{exc}"));
                Ok(())
            }
            end => end,
        }
    }
}

/// Ops.
impl<'a> Actor<'a> {
    async fn r#yield(self) {
        yield_now().await;
        self.log("yielded");
    }

    async fn sleep(self, ms: u64) {
        sleep(Duration::from_millis(ms)).await;
        self.log(format!("slept {ms}"));
    }

    async fn r#await(self, name: &str) -> Result<(), Exc> {
        if let Some(item) = self.find("await", name) {
            let value = item.await?;
            self.log(format!("await {name} = {value}"));
        }
        Ok(())
    }

    async fn call(self, body: &'a str) -> Result<(), Exc> {
        let ops = self.world.program.body(body);
        let value = self.body(&ops).await?;
        self.log(format!("call {body} = {value}"));
        Ok(())
    }

    async fn wait(self, of: &[String], when: When, timeout: Option<u64>) {
        let items = self.world.lookup_all(of).into_iter().map(Named);
        let items: Vec<_> = items.collect();
        if items.is_empty() {
            return self.log("wait empty");
        }
        let when = match when {
            When::All => ReturnWhen::AllCompleted,
            When::First => ReturnWhen::FirstCompleted,
            When::Exception => ReturnWhen::FirstException,
        };
        let timeout = timeout.map(Duration::from_millis);
        let (done, pending) = wait(items, when, timeout).await;
        let names =
            |items: Vec<Named>| sorted_names(items.into_iter().map(|item| item.0.0).collect());
        let (done, pending) = (names(done), names(pending));
        self.log(format!("wait done={done} pending={pending}"));
    }

    async fn wait_for(self, awaited: &'a Awaited, timeout: Option<u64>) -> Result<(), Exc> {
        let timeout = timeout.map(Duration::from_millis);
        let end = match awaited {
            Awaited::Ref { r#ref } => match self.find("wait_for", r#ref) {
                Some(item) => wait_for(item, timeout).await,
                None => return Ok(()),
            },
            Awaited::Body { body, r#as } => {
                let ops = self.world.program.body(body);
                let coroutine = self.world.clone().run_body(ops, r#as.clone());
                wait_for(coroutine, timeout).await
            }
        };
        let value = end.map_err(timed_out)??;
        self.log(format!("wait_for {} = {value}", awaited.target()));
        Ok(())
    }
}

/// Blocks.
impl<'a> Actor<'a> {
    async fn repeat(self, n: u32, ops: &'a [Step]) -> Result<Flow, Exc> {
        for _ in 0..n {
            if let Flow::Return(value) = self.block(ops).await? {
                return Ok(Flow::Return(value));
            }
        }
        Ok(Flow::Next)
    }

    async fn r#try(self, block: &'a Try) -> Result<Flow, Exc> {
        let Some(finally) = &block.finally else {
            return self.handled(block).await;
        };
        let end = catch_cancel(self.handled(block)).await;
        self.log("finally");
        self.block(finally).await?;
        match end {
            Ok(end) => end,
            Err(cancelled) => cancelled.reraise().await,
        }
    }

    /// The body of a `try`, and what its handlers make of how it ends.
    async fn handled(self, block: &'a Try) -> Result<Flow, Exc> {
        let end = match &block.cancelled {
            None => self.block(&block.body).await,
            Some(handler) => match catch_cancel(self.block(&block.body)).await {
                Ok(end) => end,
                Err(cancelled) => return self.cancelled(handler, cancelled).await,
            },
        };
        let Err(exc) = end else {
            return end;
        };
        match block.except.iter().find(|except| except.names.have(&exc)) {
            Some(except) => self.excepted(&except.handler, exc).await,
            None => Err(exc),
        }
    }

    async fn cancelled(self, handler: &'a Handler, cancelled: CancelledError) -> Result<Flow, Exc> {
        self.log("caught Cancelled");
        match (self.block(&handler.ops).await?, handler.then) {
            (Flow::Next, Then::Reraise) => cancelled.reraise().await,
            (flow, _) => Ok(flow),
        }
    }

    async fn excepted(self, handler: &'a Handler, exc: Exc) -> Result<Flow, Exc> {
        self.log(format!("caught {exc}"));
        match (self.block(&handler.ops).await?, handler.then) {
            (Flow::Next, Then::Reraise) => Err(exc),
            (flow, _) => Ok(flow),
        }
    }

    async fn timeout(self, ms: Option<u64>, name: &str, ops: &'a [Step]) -> Result<Flow, Exc> {
        let timeout = Timeout::new(ms.map(Duration::from_millis));
        self.world.timeouts.bind(name, timeout.clone());
        let flow = timeout.run(self.block(ops)).await.map_err(timed_out)??;
        self.log(format!("timeout {name} ok"));
        Ok(flow)
    }

    async fn taskgroup(self, name: &str, ops: &'a [Step]) -> Result<Flow, Exc> {
        let run = TaskGroup::run(async |group: &TaskGroup<Exc>| {
            self.world.groups.bind(name, group.clone());
            self.block(ops).await
        });
        let flow = run.await.map_err(|group| Exc::Group(group.into_errors()))?;
        self.log(format!("taskgroup {name} ok"));
        Ok(flow)
    }

    async fn as_completed(
        self,
        of: &[String],
        timeout: Option<u64>,
        ops: &'a [Step],
    ) -> Result<Flow, Exc> {
        let items = distinct(self.world.lookup_all(of));
        if items.is_empty() {
            self.log("as_completed empty");
            return Ok(Flow::Next);
        }
        let timeout = timeout.map(Duration::from_millis);
        let mut completed = self.world.keep(Completed::new(items, timeout));
        while let Some(item) = completed.next().await {
            let end = match item {
                Ok(item) => item.await,
                Err(too_late) => Err(timed_out(too_late)),
            };
            match end {
                Ok(value) => self.log(format!("as_completed = {value}")),
                Err(exc) => self.log(format!("as_completed !{exc}")),
            }
            if let Flow::Return(value) = self.block(ops).await? {
                return Ok(Flow::Return(value));
            }
        }
        Ok(Flow::Next)
    }
}

/// An item with the name that it goes by.
struct Named((String, Item));

impl Waitable for Named {
    type Output = Out;

    fn to_waited(&self) -> Waited<Out> {
        self.0.1.to_waited()
    }
}

/// Items as they are done, with a time limit or without.
pub(super) enum Completed {
    Ever(AsCompleted<Item>),
    Within(AsCompletedTimeout<Item>),
}

impl Completed {
    fn new(items: Vec<Item>, timeout: Option<Duration>) -> Self {
        let completed = as_completed(items);
        match timeout {
            None => Self::Ever(completed),
            Some(limit) => Self::Within(completed.timeout(limit)),
        }
    }

    async fn next(&mut self) -> Option<Result<Item, TimeoutError>> {
        match self {
            Self::Ever(completed) => completed.next().await.map(Ok),
            Self::Within(completed) => completed.next().await,
        }
    }
}

/// Each item once.
fn distinct(items: Vec<(String, Item)>) -> Vec<Item> {
    let mut seen = HashSet::new();
    let items = items.into_iter().map(|(_, item)| item);
    items.filter(|item| seen.insert(item.identity())).collect()
}

fn timed_out(_: TimeoutError) -> Exc {
    Exc::error("TimeoutError")
}

impl Awaited {
    /// What a caught error is logged with.
    fn target(&self) -> &str {
        match self {
            Self::Ref { r#ref } => r#ref,
            Self::Body { body, .. } => body,
        }
    }
}

impl Names {
    fn have(&self, exc: &Exc) -> bool {
        match self {
            Self::These(names) => names.iter().any(|name| name == exc.name()),
            Self::All(_) => true,
        }
    }
}
