//! Host half of embed: reads the folder at build time
