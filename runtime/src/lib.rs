//! The runtime of a unikernel appliance: boot, gate, memory, time, executor and the interfaces between components
