//! The .unik language: text to syntax tree, to model, to plan
