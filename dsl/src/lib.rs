//! The `.unik` language: text to syntax tree, to model, to plan.
//!
//! | stage | module | decides |
//! |---|---|---|
//! | syntax | `syntax` | what is written |
//! | model | `model` | what is meant: names resolved, values typed and in range |
//! | plan | [`plan`] | what is in the image, and why; start order |
#![forbid(unsafe_code)]

pub mod plan;
