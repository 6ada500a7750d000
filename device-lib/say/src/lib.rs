//! `say`: prints lines on the console and ends.
//!
//! An appliance whose services are all of this kind ends with exit code 0 when they have
//! printed their lines.
#![no_std]
#![forbid(unsafe_code)]

use unik::interface::Console;
use unik::start::{Context, StartError};

unik::options!();

/// Starts the service; it prints when the appliance is wired.
///
/// # Errors
/// None; the signature is that of every component.
pub async fn start(cx: &Context, options: &'static Options, console: impl Console) -> Result<(), StartError> {
    cx.spawn(async move { say(options.line, &console) });
    Ok(())
}

fn say(lines: &[&str], console: &impl Console) {
    for line in lines {
        console.write(line);
        console.write("\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::string::String;

    #[derive(Clone, Default)]
    struct Paper(Rc<RefCell<String>>);

    impl Console for Paper {
        fn write(&self, text: &str) {
            self.0.borrow_mut().push_str(text);
        }
    }

    #[test]
    fn prints_its_lines_in_order_and_ends() {
        static OPTIONS: Options = Options { line: &["one", "", "two"] };
        let paper = Paper::default();
        let on = paper.clone();
        let ending = unik::executor::run(async { start(&Context::new("greeting"), &OPTIONS, on).await });
        assert_eq!(ending, unik::platform::Ending::Done);
        assert_eq!(*paper.0.borrow(), "one\n\ntwo\n");
    }
}
