//! What is told of a panic: where it was, and words that stand in the code. What a library puts into its words
//! may be a payload (a text that is cut inside of a character quotes itself), so those are left out.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use super::complain;

/// From now on panics are told so, in the log where there is one.
pub(super) fn be_discreet() {
    std::panic::set_hook(Box::new(|info| {
        let told = told(info);
        // With RUST_BACKTRACE; it names functions, no values.
        let trace = Backtrace::capture();
        let backtrace = match trace.status() {
            BacktraceStatus::Captured => trace.to_string(),
            _ => String::new(),
        };
        if tracing::dispatcher::has_been_set() {
            tracing::error!(backtrace, "{told}");
        } else {
            complain(format_args!("relay: {told}\n{backtrace}"));
        }
    }));
}

fn told(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map_or_else(
        || "an unknown place".to_owned(),
        |at| format!("{}:{}:{}", at.file(), at.line(), at.column()),
    );
    match info.payload().downcast_ref::<&'static str>() {
        Some(words) => format!("a panic at {place}: {words}"),
        None => format!("a panic at {place}"),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{catch_unwind, set_hook, take_hook};
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn words_of_the_code_are_told_and_what_they_were_filled_with_is_not() {
        let (tell, heard) = channel();
        let here = std::thread::current().id();
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if std::thread::current().id() == here {
                let _nobody_listens = tell.send(told(info));
            } else {
                before(info);
            }
        }));
        let payload = "Zoë Canary, zoe@people.example".to_owned();
        let cut = payload.clone();
        let panics: [Box<dyn Fn() + std::panic::UnwindSafe>; 3] = [
            Box::new(|| panic!("words of the code")),
            Box::new(move || panic!("{payload}")),
            Box::new(move || drop(cut.as_str().to_owned().split_off(3))),
        ];
        let told = panics.map(|panic| {
            assert!(catch_unwind(panic).is_err());
            heard.recv().expect("the hook was called")
        });
        drop(take_hook());
        assert!(told[0].ends_with(": words of the code"), "{told:?}");
        for told in told {
            assert!(told.starts_with("a panic at "), "{told}");
            assert!(!told.contains("Canary") && !told.contains("Zo"), "{told}");
        }
    }
}
