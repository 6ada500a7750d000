//! The catalogue: what the generator knows of a component, and what a component's host half is given
