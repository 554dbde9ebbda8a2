//! Every preset against a fake of its vendor, over real HTTP. The fakes do what the vendors' pages and
//! recordings say; where those are silent, a fake leaves it to the test and the test asserts nothing.

mod ashby;
mod bamboohr;
pub mod fake;
mod greenhouse;
mod lever;
mod recruitee;
mod scenario;
mod slack;
mod slack_bot;
mod smartrecruiters;
mod teamtailor;
mod workable;
