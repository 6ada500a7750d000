//! The small macros of components: typed options, handlers, services
