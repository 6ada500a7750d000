//! Whole appliances: real images, real monitors, real clients
