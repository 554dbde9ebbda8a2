//! Changing the configuration of a relay at work: all that can fail comes first, then one swap.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use serde_json::Value;

use super::watch::{Look, look};
use super::{Ready, compile, lacks, rehearse};
use crate::clock::Clock;
use crate::config::{self, Config, Finding, Inputs, LogSettings, Secrets, StoreSettings};
use crate::dispatch::Handle;
use crate::http::admin::{InForce, LastReload, Reload};
use crate::http::{AdminSettings, Certificates, ServerSettings};
use crate::intake::Intake;
use crate::model::Name;
use crate::store::{Keep, Store};
use crate::telemetry::Telemetry;
use crate::transport::Transport;
use crate::upkeep::{Renamed, Senders, Told, Watch};

/// Reads and compiles everything that `inputs` name.
pub fn load(inputs: &Inputs) -> Result<Ready, Vec<Finding>> {
    compile(config::load(inputs)?, inputs.secrets == Secrets::Read)
}

/// Puts another configuration in force.
pub struct Reloader {
    /// One reload at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
    pub(super) inputs: Inputs,
    /// What the configuration in force was made from, and what those files held when they were last tried.
    pub(super) tried: Mutex<(Vec<PathBuf>, Look)>,
    pub(super) fixed: Fixed,
    pub(super) intake: Arc<Intake>,
    pub(super) store: Arc<dyn Store>,
    pub(super) lanes: Handle,
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) in_force: Arc<ArcSwap<InForce>>,
    pub(super) keep: Arc<ArcSwap<Keep>>,
    pub(super) renamed: Arc<Renamed>,
    pub(super) senders: Arc<Senders>,
    pub(super) told: Arc<Told>,
}

/// What only a restart can change.
#[derive(Clone)]
pub(super) struct Fixed {
    server: ServerSettings,
    admin: AdminSettings,
    store: StoreSettings,
    log: LogSettings,
    watch: bool,
    /// As written, or by default: to name the key that changed.
    written: Value,
}

impl Fixed {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            server: config.server.clone(),
            admin: config.admin.clone(),
            store: config.store.clone(),
            log: config.log,
            watch: config.watch,
            written: config.written.clone(),
        }
    }

    /// The keys of a section that differ; the section itself where they are the same and what they refer to is not.
    fn differing(&self, other: &Self, section: &str) -> Vec<String> {
        let keys = |of: &Self| of.written[section].as_object().cloned().unwrap_or_default();
        let (old, new) = (keys(self), keys(other));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let differs = |name: &&&String| old.get(**name) != new.get(**name) && **name != "keep";
        let changed = names.iter().filter(differs);
        let changed: Vec<String> = changed.map(|name| format!("{section}.{name}")).collect();
        if changed.is_empty() {
            vec![section.to_owned()]
        } else {
            changed
        }
    }
}

impl Reloader {
    /// Reads the configuration again and puts it in force, or says why not: then nothing has changed. Answers
    /// with what there is to know about deliveries that wait.
    /// `why` is who asked for it, for the log.
    pub async fn reload(&self, why: &str) -> Result<Vec<String>, Vec<Finding>> {
        let _turn = self.turn.lock().await;
        let now = self.clock.now();
        let (mut files, _) = self.tried();
        let mut held = look(files.clone()).await;
        let outcome = match self.prepare() {
            Ok(mut ready) => {
                let read = std::mem::take(&mut ready.files);
                if read != files {
                    held = look(read.clone()).await;
                    files = read;
                }
                // Before it is in force, or the lanes might be quicker.
                let mut warnings = lacks::warnings(&ready.compiled, &*self.store).await;
                warnings.extend(self.renamed_source(&ready));
                self.put_in_force(ready).await;
                Ok(warnings)
            }
            Err(findings) => Err(findings),
        };
        *self.tried.lock().expect("nothing panics in here") = (files, held);
        self.telemetry.metrics.reloaded(now, outcome.is_ok());
        let errors = outcome.as_ref().err().into_iter().flatten();
        let errors = errors.filter(|finding| finding.is_error());
        let errors: Vec<String> = errors.map(ToString::to_string).collect();
        for error in &errors {
            tracing::error!("{error}");
        }
        if errors.is_empty() {
            tracing::info!(why, "configuration reloaded");
        } else {
            tracing::error!(
                why,
                "configuration not reloaded: the one before stays in force"
            );
        }
        let warnings = outcome.as_ref().cloned().unwrap_or_default();
        let reload = LastReload {
            at: now,
            errors,
            warnings,
        };
        let in_force = InForce {
            last_reload: Some(reload),
            ..InForce::clone(&self.in_force.load())
        };
        self.in_force.store(Arc::new(in_force));
        outcome
    }

    /// A source that goes while another comes may be one that only got another name.
    fn renamed_source(&self, ready: &Ready) -> Option<String> {
        let new: BTreeSet<Name> = ready.compiled.rules.sources.keys().cloned().collect();
        let old = self.intake.source_names();
        let gone: Vec<&str> = old.difference(&new).map(|name| &**name).collect();
        let come: Vec<&str> = new.difference(&old).map(|name| &**name).collect();
        if gone.is_empty() || come.is_empty() {
            return None;
        }
        let (gone, come) = (gone.join(", "), come.join(", "));
        let warning = format!(
            "the source {gone} is gone and {come} is new: where it only got another name, each of its subjects starts \
             anew with revision 1"
        );
        tracing::warn!("{warning}");
        Some(warning)
    }

    async fn put_in_force(&self, ready: Ready) {
        let now = self.clock.now();
        self.transport.reload();
        let renamed = ready.compiled.renamed();
        self.senders
            .expect(Watch::all(ready.compiled.rules.sources.values()));
        self.intake.swap_rules(ready.compiled.rules);
        if self
            .lanes
            .reconfigure(ready.compiled.lanes, ready.compiled.routes)
            .await
            .is_err()
        {
            tracing::warn!("reload while shutting down: the lanes stay as they are");
        }
        self.renamed.set(renamed);
        self.keep.store(Arc::new(ready.config.keep));
        self.told.set(ready.config.alerts);
        let before = self.in_force.load();
        let (hash, generation) = (ready.config.hash, before.generation + 1);
        self.in_force.store(Arc::new(InForce {
            hash,
            generation,
            loaded_at: now,
            last_reload: None,
        }));
    }

    pub(super) fn tried(&self) -> (Vec<PathBuf>, Look) {
        self.tried.lock().expect("nothing panics in here").clone()
    }

    /// Everything that can fail. The certificate comes last: it takes effect as soon as it was read.
    fn prepare(&self) -> Result<Ready, Vec<Finding>> {
        let ready = load(&self.inputs)?;
        let doomed = rehearse(&ready, self.clock.now()).doomed();
        if !doomed.is_empty() {
            return Err(doomed);
        }
        let findings = self.needs_restart(&ready);
        if !findings.is_empty() {
            return Err(findings);
        }
        if let Some(certificates) = &self.certificates {
            let unusable = |error: crate::http::TlsError| {
                vec![ready.locator.error("server.tls", error.to_string())]
            };
            certificates.reload().map_err(unusable)?;
        }
        Ok(ready)
    }

    fn needs_restart(&self, ready: &Ready) -> Vec<Finding> {
        let new = Fixed::of(&ready.config);
        let old = &self.fixed;
        let sections = [
            ("server", new.server != old.server),
            ("admin", new.admin != old.admin),
            ("store", new.store != old.store),
            ("log", new.log != old.log),
            ("reload", new.watch != old.watch),
        ];
        let changed = sections.into_iter().filter(|(_, changed)| *changed);
        changed
            .flat_map(|(section, _)| old.differing(&new, section))
            .map(|key| {
                let hint = "restart the relay to change it, or put the old value back";
                let problem = "cannot change while the relay runs";
                ready.locator.error(&key, problem).hint(hint)
            })
            .collect()
    }
}

#[async_trait]
impl Reload for Reloader {
    async fn reload(&self) -> Result<Vec<String>, Vec<String>> {
        let outcome = Self::reload(self, "asked for by the API").await;
        outcome.map_err(|findings| {
            let errors = findings.iter().filter(|finding| finding.is_error());
            errors.map(ToString::to_string).collect()
        })
    }
}
