//! What all targets share: the bodies, which the suite runs too.

#[path = "../tests/fuzz/bodies.rs"]
mod bodies;

/// libFuzzer's own hook aborts at a panic even where it is caught, as those of the CEL parser are. What is not
/// caught still ends the run.
pub fn begin() {
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
}

pub fn run(name: &str, data: &[u8]) {
    let target = bodies::TARGETS.iter().find(|(known, _)| *known == name);
    let (_, body) = target.expect("a target of that name");
    body(data);
}
