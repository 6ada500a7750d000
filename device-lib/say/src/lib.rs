//! Prints lines on the console and ends the appliance
