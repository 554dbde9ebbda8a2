//! From settings to what works: destinations compiled, rules and lanes put together.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, Finding, Inputs, Loaded, Locator, OwnPreset};
use crate::destination::{Destination, Fault, Settings};
use crate::dispatch::{LaneSpec, RouteValues};
use crate::intake::Rules;
use crate::model::Name;
use crate::route::Routes;
use crate::transport::NetworkTransport;

/// What intake and lanes work by.
#[derive(Debug)]
pub struct Compiled {
    pub rules: Rules,
    pub lanes: Vec<LaneSpec>,
    pub routes: Arc<RouteValues>,
}

impl Compiled {
    /// Destinations that had another name before: old and new.
    pub(super) fn renamed(&self) -> Vec<(Name, Name)> {
        let pair = |lane: &LaneSpec| {
            let was = lane.settings.was.clone()?;
            Some((was, lane.destination.name().clone()))
        };
        self.lanes.iter().filter_map(pair).collect()
    }
}

/// Everything that relay.toml says, ready to be put in force, and what there is to say about it.
#[derive(Debug)]
pub struct Ready {
    pub config: Config,
    pub compiled: Compiled,
    pub warnings: Vec<Finding>,
    pub locator: Locator,
    pub inputs: Inputs,
    /// Every file that it was made from.
    pub files: Vec<PathBuf>,
}

/// Compiles templates and response rules. Everything that is wrong comes back at once.
pub fn compile(loaded: Loaded, look_at_files: bool) -> Result<Ready, Vec<Finding>> {
    let Loaded {
        mut config,
        warnings,
        locator,
        inputs,
        files,
        own_presets,
    } = loaded;
    let mut findings: Vec<Finding> = own_presets.into_iter().flat_map(faults_of).collect();
    let mut lanes = Vec::new();
    for (written, settings) in std::mem::take(&mut config.destinations) {
        if look_at_files && let Err(failure) = NetworkTransport::check(&written.connection) {
            findings.push(locator.error(&key_of(&written, "tls"), failure.message));
        }
        match Destination::compile(written.clone()) {
            Ok(destination) => {
                lanes.push(LaneSpec {
                    destination: Arc::new(destination),
                    settings,
                });
            }
            Err(faults) => findings.extend(
                faults
                    .into_iter()
                    .map(|fault| finding(&locator, &key_of(&written, &fault.key), fault)),
            ),
        }
    }
    if !findings.is_empty() {
        without_repeats(&mut findings);
        findings.extend(warnings);
        return Err(findings);
    }
    let routes = std::mem::take(&mut config.routes);
    let values: RouteValues = routes
        .iter()
        .map(|route| (route.name.clone(), route.with.clone()))
        .collect();
    let sources = std::mem::take(&mut config.sources);
    let destinations: HashMap<Name, Arc<Destination>> = lanes
        .iter()
        .map(|lane| (lane.destination.name().clone(), lane.destination.clone()))
        .collect();
    let rules = Rules {
        sources: sources
            .into_iter()
            .map(|source| (source.name.clone(), Arc::new(source)))
            .collect(),
        routes: Routes::new(routes),
        destinations,
    };
    let compiled = Compiled {
        rules,
        lanes,
        routes: Arc::new(values),
    };
    Ok(Ready {
        config,
        compiled,
        warnings,
        locator,
        inputs,
        files,
    })
}

/// What does not compile in one of the operator's presets, whoever uses it.
fn faults_of(preset: OwnPreset) -> Vec<Finding> {
    let faults = Destination::compile(preset.settings)
        .err()
        .into_iter()
        .flatten();
    faults
        .map(|fault| finding(&preset.locator, &fault.key.clone(), fault))
        .collect()
}

/// A fault in a preset is found in it, and once more in each destination that uses it.
fn without_repeats(findings: &mut Vec<Finding>) {
    let mut seen: Vec<Finding> = Vec::with_capacity(findings.len());
    for finding in findings.drain(..) {
        if !seen.contains(&finding) {
            seen.push(finding);
        }
    }
    *findings = seen;
}

fn key_of(destination: &Settings, key: &str) -> String {
    format!("destinations.{}.{key}", destination.name)
}

/// A fault of a template or rule, with the place where it is written.
fn finding(locator: &Locator, key: &str, fault: Fault) -> Finding {
    let problem = match fault.line_in_value {
        Some(line) if line > 1 => format!("{} (line {line} of the text)", fault.problem),
        _ => fault.problem,
    };
    let finding = locator.error(key, problem);
    match fault.hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}
