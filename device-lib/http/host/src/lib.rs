//! Host half of http: pre-renders responses and routes at build time
