//! Named points of the protocol at which tests end the program, as a power failure would.
//!
//! What must be true when a process dies between two steps is tested by letting it die there: at every point in turn,
//! not at moments that a loaded machine moves. The points exist in debug builds alone; in the released program
//! [`reached`] is empty and nothing reads these variables:
//!
//! - `AFTERBACKUP_TEST_TRACE=FILE` appends the name of every point that is reached.
//! - `AFTERBACKUP_TEST_STOP=NAME#N` ends the process, without any cleaning up, when the point is reached for the N-th
//!   time, with the exit code 99.
//! - `AFTERBACKUP_TEST_FAIL=NAME:CALL#N:KIND` lets a call of the destination of this name fail from the N-th time on.
//! - `AFTERBACKUP_TEST_HOLD=NAME#N=FILE` creates the file there and goes on once Ctrl-C or a signal was heard.

#[cfg(not(debug_assertions))]
mod points {
    /// Nothing, in the released program.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "nothing must be left of it")]
    pub(crate) fn reached(_name: &str) {}

    /// Nothing, in the released program.
    pub(crate) fn interrupted() {}

    /// None, in the released program.
    pub(crate) fn failing_call() -> Option<String> {
        None
    }
}

#[cfg(debug_assertions)]
mod points {
    use std::collections::HashMap;
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::sync::OnceLock;

    use parking_lot::{Condvar, Mutex};

    /// How a process ends that was stopped.
    const STOPPED: i32 = 99;

    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    static INTERRUPTED: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

    /// What the variables say.
    struct Plan {
        trace: Option<PathBuf>,
        stop: Option<(String, u32)>,
        hold: Option<((String, u32), PathBuf)>,
        counts: Mutex<HashMap<String, u32>>,
    }

    impl Plan {
        fn read() -> Option<Self> {
            let variable = |name: &str| std::env::var(format!("AFTERBACKUP_TEST_{name}")).ok();
            let (trace, stop, hold) = (variable("TRACE"), variable("STOP"), variable("HOLD"));
            if trace.is_none() && stop.is_none() && hold.is_none() {
                return None;
            }
            Some(Self {
                trace: trace.map(PathBuf::from),
                stop: stop.map(|text| point(&text)),
                hold: hold.map(|text| {
                    let (text, file) = text.split_once('=').expect("AFTERBACKUP_TEST_HOLD is NAME#N=FILE");
                    (point(text), PathBuf::from(file))
                }),
                counts: Mutex::default(),
            })
        }
    }

    fn point(text: &str) -> (String, u32) {
        let (name, number) = text.split_once('#').expect("a point is NAME#N");
        (name.to_owned(), number.parse().expect("the N of NAME#N is a number"))
    }

    /// The protocol is at this point.
    #[allow(clippy::disallowed_methods, reason = "a file of the tests")]
    pub(crate) fn reached(name: &str) {
        let Some(plan) = PLAN.get_or_init(Plan::read) else { return };
        // Held to the end, so that no other thread passes a point while this one is about to end the process.
        let mut counts = plan.counts.lock();
        let count = counts.entry(name.to_owned()).or_default();
        *count += 1;
        let is = |wanted: &(String, u32)| wanted.0 == name && wanted.1 == *count;
        if let Some(file) = &plan.trace {
            let appended = File::options()
                .append(true)
                .create(true)
                .open(file)
                .and_then(|mut file| file.write_all(format!("{name}\n").as_bytes()));
            appended.expect("the file of AFTERBACKUP_TEST_TRACE can be written");
        }
        if plan.stop.as_ref().is_some_and(is) {
            #[allow(clippy::exit, reason = "this is the point of it: nothing is cleaned up")]
            std::process::exit(STOPPED);
        }
        if let Some((_, file)) = plan.hold.as_ref().filter(|(wanted, _)| is(wanted)) {
            drop(counts);
            fs::write(file, name).expect("the file of AFTERBACKUP_TEST_HOLD can be written");
            let (heard, bell) = &INTERRUPTED;
            bell.wait_while(&mut heard.lock(), |heard| !*heard);
        }
    }

    /// A signal was heard.
    pub(crate) fn interrupted() {
        let (heard, bell) = &INTERRUPTED;
        *heard.lock() = true;
        bell.notify_all();
    }

    /// Which call of which destination is to fail.
    pub(crate) fn failing_call() -> Option<String> {
        std::env::var("AFTERBACKUP_TEST_FAIL").ok()
    }
}

pub(crate) use points::{failing_call, interrupted, reached};
