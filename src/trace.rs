//! What one save, one call and one start take, step by step: `SST_TRACE=save`, `SST_TRACE=call`, `SST_TRACE=start`, or several of them
//! with commas.
//!
//! Each step is a line on standard error, which begins with the time since the start of the program. Without the variable a step costs
//! one look at a flag.

/// The variable.
pub const VARIABLE: &str = "SST_TRACE";

/// The steps from a saved file to the worker that has loaded what was built of it.
pub const SAVE: &str = "save";

/// The steps from a call to its answer.
pub const CALL: &str = "call";

/// The steps of `sst start`, until it listens.
pub const START: &str = "start";

/// What is to be logged for a value of the variable, in the words of `RUST_LOG`. What is no name of a trace is none.
#[must_use]
pub fn directives(value: &str) -> String {
    let known = value.split(',').map(str::trim).filter(|name| [SAVE, CALL, START].contains(name));
    known.map(|name| format!("{name}=trace")).collect::<Vec<_>>().join(",")
}

/// Tells a step of a save.
macro_rules! save {
    ($($step:tt)*) => { tracing::trace!(target: $crate::trace::SAVE, $($step)*) };
}

/// Tells a step of a call.
macro_rules! call {
    ($($step:tt)*) => { tracing::trace!(target: $crate::trace::CALL, $($step)*) };
}

/// Tells a step of a start that has been done.
macro_rules! start {
    ($($step:tt)*) => { tracing::trace!(target: $crate::trace::START, $($step)*) };
}

pub(crate) use {call, save, start};

#[cfg(test)]
mod tests {
    use super::directives;

    #[test]
    fn only_what_can_be_traced_is() {
        assert_eq!(directives("save"), "save=trace");
        assert_eq!(directives("save, call"), "save=trace,call=trace");
        assert_eq!(directives("start"), "start=trace");
        assert_eq!(directives("everything"), "");
    }
}
