//! The built-in components, as the generator sees them: their catalogue, host halves and sources
