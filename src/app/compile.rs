//! From settings to what works: destinations compiled, rules and lanes put together.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use crate::config::{Config, Finding, Inputs, Loaded, Locator, OwnPreset};
use crate::destination::{Destination, Fault, Read, Settings};
use crate::dispatch::{LaneSettings, LaneSpec, RouteValues};
use crate::http::Certificates;
use crate::intake::{Rules, UsesAll};
use crate::model::Name;
use crate::route::Routes;
use crate::transport::{NetworkTransport, judge_literal};

/// What templates say of an alert.
const ALERT_FIELD: [&str; 2] = ["event", "alert"];

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
    let written = std::mem::take(&mut config.destinations);
    let lanes = lanes(written, look_at_files, &locator, &mut findings);
    let tls = config.server.tls.clone().filter(|_| look_at_files);
    if let Some(Err(error)) = tls.map(Certificates::load) {
        findings.push(locator.error("server.tls", error.to_string()));
    }
    if !findings.is_empty() {
        without_repeats(&mut findings);
        findings.extend(warnings);
        return Err(findings);
    }
    findings.extend(deaf(&config.alerts, &lanes, &locator));
    if !findings.is_empty() {
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
    let mut rules = Rules {
        sources: sources
            .into_iter()
            .map(|source| (source.name.clone(), Arc::new(source)))
            .collect(),
        routes: Routes::new(routes),
        destinations,
        kept: HashMap::new(),
    };
    let contradictions = rules.minimise();
    if !contradictions.is_empty() {
        let told = contradictions.iter();
        let told = told.map(|(source, all)| contradiction(&locator, source, all));
        return Err(told.chain(warnings).collect());
    }
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

fn lanes(
    all: Vec<(Settings, LaneSettings)>,
    look_at_files: bool,
    locator: &Locator,
    findings: &mut Vec<Finding>,
) -> Vec<LaneSpec> {
    let mut lanes = Vec::new();
    for (written, settings) in all {
        if look_at_files && let Err(failure) = NetworkTransport::check(&written.connection) {
            findings.push(locator.error(&key_of(&written, "tls"), failure.message));
        }
        match Destination::compile(written.clone()) {
            Ok(destination) => {
                findings.extend(misplaced(&destination, locator));
                lanes.push(LaneSpec {
                    destination: Arc::new(destination),
                    settings,
                });
            }
            Err(faults) => findings.extend(
                faults
                    .into_iter()
                    .map(|fault| finding(locator, &key_of(&written, &fault.key), fault)),
            ),
        }
    }
    lanes
}

/// Addresses, written into URLs, that nothing is sent to. What names lead to is seen when something is sent.
fn misplaced(destination: &Destination, locator: &Locator) -> Vec<Finding> {
    let settings = destination.settings();
    let own = Url::parse(&destination.origin()).ok();
    let token = destination.oauth2().map(|client| client.token_url.clone());
    let base = if settings.in_create {
        "base_url"
    } else {
        "url"
    };
    let urls = [(base, own), ("auth.oauth2.token_url", token)];
    let urls = urls
        .iter()
        .filter_map(|(key, url)| Some((*key, url.as_ref()?.host()?)));
    let judged = urls.filter_map(|(key, host)| {
        let allow_private = settings.connection.allow_private;
        Some((key, judge_literal(&host, allow_private).err()?))
    });
    judged
        .map(|(key, refused)| {
            let finding = locator.error(&key_of(settings, key), refused.problem);
            finding.hint(refused.advice)
        })
        .collect()
}

/// Destinations of `alerts.to` that could not say what an alert is.
fn deaf(alerts: &[Name], lanes: &[LaneSpec], locator: &Locator) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, name) in alerts.iter().enumerate() {
        let mut lanes = lanes.iter();
        let Some(lane) = lanes.find(|lane| lane.destination.name() == name) else {
            continue;
        };
        let destination = &lane.destination;
        let reads = destination.reads();
        let of_interviews = |key: &str| {
            let own = |read: &&Read| read.key == key && read.path[0] != "with";
            reads.iter().any(|read| own(&read))
        };
        let says = reads
            .iter()
            .any(|read| read.path.starts_with(&ALERT_FIELD.map(str::to_owned)));
        let (problem, hint) = if !destination.settings().require.is_empty() {
            (
                "it requires fields that an alert does not have",
                "name a destination of your own, or Slack",
            )
        } else if of_interviews("url") || of_interviews("create.path") {
            (
                "its address is made from the payload of an interview",
                "name a destination of your own, or Slack",
            )
        } else if !destination.passes_on() && !says {
            (
                "its body would not say what an alert is about",
                "use {{ event.alert.title }} and {{ event.alert.text }}, which are null in other events",
            )
        } else {
            continue;
        };
        let key = format!("alerts.to[{at}]");
        findings.push(locator.error(&key, format!("{name}: {problem}")).hint(hint));
    }
    findings
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

/// A source that is to be minimised, and a rule that uses all of its payloads.
fn contradiction(locator: &Locator, source: &Name, all: &UsesAll) -> Finding {
    let (why, hint) = match all {
        UsesAll::Condition { route, name } => (
            format!("the condition of route {route} reads `{name}` as a whole"),
            format!("name the fields that it needs, such as {name}.score, or take minimise out"),
        ),
        UsesAll::Destination {
            destination,
            route,
            key: None,
        } => (
            format!("{destination} (by route {route}) is sent the whole payload"),
            format!(
                "give {destination} a body with the fields that it needs, leave this source out of the route's `from`, \
                 or take minimise out"
            ),
        ),
        UsesAll::Destination {
            destination,
            route,
            key: Some(key),
        } => (
            format!("{destination} (by route {route}) reads the whole payload in {key}"),
            "name the fields that it needs, such as result.score, or take minimise out".to_owned(),
        ),
    };
    let key = format!("sources.{source}.minimise");
    let problem = format!("it would keep everything: {why}");
    locator.error(&key, problem).hint(hint)
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
