//! Values, errors and states, and how a trace spells them.

use std::fmt;

use serde::Deserialize;

/// What a body returns.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(untagged)]
pub(crate) enum Value {
    #[default]
    None,
    Bool(bool),
    Int(i64),
    List(Vec<Value>),
    /// How a child ended that has no value, in the list of a gather that asks for such.
    #[serde(skip)]
    Raised(Exc),
}

/// What ends a block. A cancellation is none: that unwinds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Exc {
    Error(String),
    Group(Vec<Exc>),
    /// Only to be looked at: what is left of a cancellation in a list or in a state.
    Cancelled,
}

/// The outcome of a body, a future, a task.
pub(crate) type Out = Result<Value, Exc>;

/// How a future stands.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Pending,
    Cancelled,
    Exception(Exc),
    Result(Value),
}

impl Exc {
    pub(super) fn error(name: &str) -> Self {
        Self::Error(name.to_owned())
    }

    /// The name that a handler is asked for.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Error(name) => name,
            Self::Group(_) => "Group",
            Self::Cancelled => "Cancelled",
        }
    }
}

impl State {
    /// What `result()` gives, or the name of what it raises.
    pub(super) fn result(self) -> Result<Value, String> {
        match self {
            Self::Pending => Err("InvalidStateError".to_owned()),
            Self::Cancelled => Err("Cancelled".to_owned()),
            Self::Exception(exc) => Err(exc.to_string()),
            Self::Result(value) => Ok(value),
        }
    }

    /// What `exception()` gives, or the name of what it raises.
    pub(super) fn exception(self) -> Result<Option<Exc>, &'static str> {
        match self {
            Self::Pending => Err("InvalidStateError"),
            Self::Cancelled => Err("Cancelled"),
            Self::Exception(exc) => Ok(Some(exc)),
            Self::Result(_) => Ok(None),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::List(values) => write!(f, "[{}]", listed(values)),
            Self::Raised(exc) => write!(f, "!{exc}"),
        }
    }
}

impl fmt::Display for Exc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(children) => write!(f, "Group[{}]", listed(children)),
            single => f.write_str(single.name()),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("pending"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Exception(exc) => write!(f, "exception {exc}"),
            Self::Result(value) => write!(f, "result {value}"),
        }
    }
}

fn listed<T: ToString>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(T::to_string).collect();
    items.join(",")
}

/// Names in a log line: in the order given, `-` if there are none.
pub(super) fn names(names: &[String]) -> String {
    if names.is_empty() {
        return "-".to_owned();
    }
    names.join(",")
}

/// Names in a log line: sorted, each once.
pub(super) fn sorted_names(mut found: Vec<String>) -> String {
    found.sort();
    found.dedup();
    names(&found)
}
