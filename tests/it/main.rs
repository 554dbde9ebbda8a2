//! Behaviour of the rooms together, through their public doors.

mod server;
