//! The model of a program: what one line of JSON says. Names and keys are those of the language.

use std::collections::HashMap;
use std::rc::Rc;

use serde::Deserialize;

use super::values::Value;

/// A list of ops.
pub(super) type Block<T> = Rc<[T]>;

/// One line of the input.
#[derive(Debug, Deserialize)]
pub(crate) struct Program {
    pub(crate) id: String,
    #[serde(default)]
    pub(super) objs: Vec<Object>,
    pub(super) main: Block<Step>,
    #[serde(default)]
    pub(super) bodies: HashMap<String, Block<Step>>,
    /// Empty: one `run_until_complete` of `main`.
    #[serde(default)]
    pub(super) driver: Vec<Phase>,
}

/// A lock, a queue, or something of the kind: made before anything runs.
#[derive(Debug, Deserialize)]
pub(super) struct Object {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) kind: Kind,
}

/// What an object is.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Kind {
    Lock,
    Event,
    Condition {
        /// The name of an earlier lock; `None`: one of its own.
        lock: Option<String>,
    },
    Semaphore {
        value: usize,
    },
    BoundedSemaphore {
        value: usize,
    },
    Barrier {
        parties: usize,
    },
    Queue {
        maxsize: usize,
    },
    PriorityQueue {
        maxsize: usize,
    },
    LifoQueue {
        maxsize: usize,
    },
}

/// What is done with the loop, from outside.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum Phase {
    RunUntilComplete { r#ref: String },
    RunForever,
    Ops { ops: Block<Action> },
    CancelAll,
}

/// An op that does not await: allowed in bodies, in callbacks and with the loop not running.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Action {
    Log {
        text: String,
    },
    Future {
        r#as: String,
    },
    SetResult {
        r#ref: String,
        value: Value,
    },
    SetException {
        r#ref: String,
        exc: String,
    },
    Cancel {
        r#ref: String,
        msg: Option<String>,
    },
    ResolvePending {
        of: Vec<String>,
        value: Value,
    },
    CancelPending {
        of: Vec<String>,
    },
    CreateTask {
        body: String,
        r#as: String,
    },
    TgCreate {
        tg: String,
        body: String,
        r#as: String,
    },
    AddCb {
        r#ref: String,
        cb: String,
        #[serde(default)]
        ops: Block<Action>,
    },
    RemoveCb {
        r#ref: String,
        cb: String,
    },
    CallSoon {
        r#as: String,
        #[serde(default)]
        ops: Block<Action>,
    },
    CallLater {
        r#as: String,
        ms: u64,
        #[serde(default)]
        ops: Block<Action>,
    },
    CallAt {
        r#as: String,
        at: u64,
        #[serde(default)]
        ops: Block<Action>,
    },
    CancelHandle {
        handle: String,
    },
    HandleCancelled {
        handle: String,
    },
    State {
        r#ref: String,
    },
    Result {
        r#ref: String,
    },
    Exception {
        r#ref: String,
    },
    Cancelling {
        r#ref: String,
    },
    Uncancel {
        r#ref: String,
    },
    GetName {
        r#ref: String,
    },
    Current,
    AllTasks,
    Stop,
    Gather {
        of: Vec<String>,
        r#as: String,
        #[serde(default)]
        return_exceptions: bool,
    },
    Shield {
        r#ref: String,
        r#as: String,
    },
    Reschedule {
        timeout: String,
        /// `None`: no deadline.
        ms: Option<u64>,
    },
    Expired {
        timeout: String,
    },
    VarAdd {
        var: String,
        n: i64,
    },
    Release {
        obj: String,
    },
    Locked {
        obj: String,
    },
    EventSet {
        obj: String,
    },
    EventClear {
        obj: String,
    },
    EventIsSet {
        obj: String,
    },
    Notify {
        obj: String,
        n: Count,
    },
    PutNowait {
        obj: String,
        value: i64,
    },
    GetNowait {
        obj: String,
    },
    TaskDone {
        obj: String,
    },
    QueueInfo {
        obj: String,
    },
    BarrierInfo {
        obj: String,
    },
    /// One that this interpreter does not know.
    #[serde(untagged)]
    Unknown {
        op: String,
    },
}

/// An op of a body: one that may await, a block, or an [`Action`].
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Step {
    Yield,
    Sleep {
        ms: u64,
    },
    Await {
        r#ref: String,
        #[serde(default)]
        catch: bool,
    },
    Call {
        body: String,
        #[serde(default)]
        catch: bool,
    },
    Wait {
        of: Vec<String>,
        when: When,
        timeout: Option<u64>,
    },
    WaitFor {
        #[serde(flatten)]
        awaited: Awaited,
        timeout: Option<u64>,
        #[serde(default)]
        catch: bool,
    },
    Acquire {
        obj: String,
    },
    EventWait {
        obj: String,
    },
    CondWait {
        obj: String,
        #[serde(default)]
        catch: bool,
    },
    CondWaitFor {
        obj: String,
        var: String,
        ge: i64,
        #[serde(default)]
        catch: bool,
    },
    BarrierWait {
        obj: String,
        #[serde(default)]
        catch: bool,
    },
    BarrierReset {
        obj: String,
    },
    BarrierAbort {
        obj: String,
    },
    Put {
        obj: String,
        value: i64,
        #[serde(default)]
        catch: bool,
    },
    Get {
        obj: String,
        #[serde(default)]
        catch: bool,
    },
    Join {
        obj: String,
    },
    Return {
        #[serde(default)]
        value: Value,
    },
    Raise {
        exc: String,
    },
    RaiseCancelled,
    Repeat {
        n: u32,
        ops: Block<Step>,
    },
    Try(Try),
    With {
        obj: String,
        ops: Block<Step>,
    },
    Timeout {
        /// `None`: no deadline.
        ms: Option<u64>,
        r#as: String,
        ops: Block<Step>,
    },
    Taskgroup {
        r#as: String,
        ops: Block<Step>,
    },
    AsCompleted {
        of: Vec<String>,
        timeout: Option<u64>,
        #[serde(default)]
        ops: Block<Step>,
    },
    #[serde(untagged)]
    Action(Action),
}

/// How many are notified: a number, or `"all"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Count {
    Number(usize),
    All(All),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum All {
    All,
}

/// What a `wait` waits for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum When {
    All,
    First,
    Exception,
}

/// What a `wait_for` waits for.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Awaited {
    Ref { r#ref: String },
    Body { body: String, r#as: String },
}

/// `try`, with its three optional parts.
#[derive(Debug, Deserialize)]
pub(super) struct Try {
    pub(super) body: Block<Step>,
    pub(super) cancelled: Option<Handler>,
    #[serde(default)]
    pub(super) except: Vec<Except>,
    pub(super) finally: Option<Block<Step>>,
}

/// What to do about an error or a cancellation.
#[derive(Debug, Deserialize)]
pub(super) struct Handler {
    pub(super) ops: Block<Step>,
    pub(super) then: Then,
}

/// How a handler ends if it gets to its end.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Then {
    Reraise,
    Swallow,
}

/// A handler for some errors.
#[derive(Debug, Deserialize)]
pub(super) struct Except {
    pub(super) names: Names,
    #[serde(flatten)]
    pub(super) handler: Handler,
}

/// Which errors a handler is for: `"any"`, or some names.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Names {
    These(Vec<String>),
    All(Any),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Any {
    Any,
}

impl Program {
    /// Why this interpreter cannot run it, if it cannot.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.unknown_op().map(|op| format!("op {op}"))
    }

    /// The name of an op that this interpreter does not know, if there is one.
    fn unknown_op(&self) -> Option<&str> {
        let bodies = self.bodies.values().chain([&self.main]);
        let phases = self.driver.iter().filter_map(|phase| match phase {
            Phase::Ops { ops } => Some(ops),
            _ => None,
        });
        let unknown = bodies.flat_map(|body| body.iter()).find_map(Step::unknown);
        unknown.or_else(|| phases.flat_map(|ops| ops.iter()).find_map(Action::unknown))
    }

    /// The body of this name.
    pub(super) fn body(&self, name: &str) -> Block<Step> {
        let body = self.bodies.get(name);
        body.unwrap_or_else(|| panic!("program {} has no body {name}", self.id))
            .clone()
    }
}

impl Step {
    fn unknown(&self) -> Option<&str> {
        if let Self::Action(action) = self {
            return action.unknown();
        }
        self.blocks().into_iter().flatten().find_map(Self::unknown)
    }

    /// The blocks inside it.
    fn blocks(&self) -> Vec<&[Step]> {
        match self {
            Self::Repeat { ops, .. }
            | Self::With { ops, .. }
            | Self::Timeout { ops, .. }
            | Self::Taskgroup { ops, .. }
            | Self::AsCompleted { ops, .. } => vec![ops],
            Self::Try(block) => block.blocks(),
            _ => Vec::new(),
        }
    }
}

impl Try {
    fn blocks(&self) -> Vec<&[Step]> {
        let excepts = self.except.iter().map(|except| &except.handler);
        let handlers = self.cancelled.iter().chain(excepts);
        let handlers = handlers.map(|handler| &*handler.ops);
        let finally = self.finally.iter().map(|ops| &**ops);
        handlers.chain(finally).chain([&*self.body]).collect()
    }
}

impl Action {
    fn unknown(&self) -> Option<&str> {
        match self {
            Self::AddCb { ops, .. }
            | Self::CallSoon { ops, .. }
            | Self::CallLater { ops, .. }
            | Self::CallAt { ops, .. } => ops.iter().find_map(Self::unknown),
            Self::Unknown { op } => Some(op),
            _ => None,
        }
    }
}
