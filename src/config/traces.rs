//! Whether and where traces go: by the standard variables of OpenTelemetry alone, no key of relay.toml.

use url::Url;

use crate::telemetry::TraceSettings;

/// What `environment` says; None where nobody collects. The library reads the rest of the standard's
/// variables itself: headers, sampling, batches, attributes of the service.
pub fn traces(environment: &[(String, String)]) -> Result<Option<TraceSettings>, String> {
    let get = |name: &str| {
        let mut found = environment.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty())
    };
    let off = get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || get("OTEL_TRACES_EXPORTER") == Some("none");
    let own = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let shared = get("OTEL_EXPORTER_OTLP_ENDPOINT");
    let (name, text) = match (own, shared) {
        _ if off => return Ok(None),
        (Some(own), _) => ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", own.to_owned()),
        (None, Some(shared)) => (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("{}/v1/traces", shared.trim_end_matches('/')),
        ),
        (None, None) => return Ok(None),
    };
    let protocol = get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or(get("OTEL_EXPORTER_OTLP_PROTOCOL"));
    if protocol.is_some_and(|protocol| protocol != "http/protobuf") {
        return Err(
            "OTEL_EXPORTER_OTLP_PROTOCOL: the relay speaks http/protobuf only; \
             use that, with the collector's port for it (4318)"
                .to_owned(),
        );
    }
    let endpoint = Url::parse(&text).ok();
    let endpoint =
        endpoint.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    // Its value may hold credentials.
    let endpoint =
        endpoint.ok_or_else(|| format!("{name}: not an http URL; write http://localhost:4318"))?;
    let service = get("OTEL_SERVICE_NAME").unwrap_or(env!("CARGO_PKG_NAME"));
    Ok(Some(TraceSettings {
        endpoint,
        service: service.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: Vec<_> = variables.iter().map(own).collect();
        Ok(traces(&environment)?.map(|settings| settings.endpoint.to_string()))
    }

    #[test]
    fn the_standard_variables_decide() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c/in");
        let at = |url: &str| Ok(Some(url.to_owned()));
        assert_eq!(endpoint(&[]), Ok(None));
        assert_eq!(endpoint(&[base]), at("http://collector:4318/v1/traces"));
        assert_eq!(endpoint(&[base, own]), at("https://c/in"));
        assert_eq!(endpoint(&[base, ("OTEL_SDK_DISABLED", "true")]), Ok(None));
        assert_eq!(
            endpoint(&[base, ("OTEL_TRACES_EXPORTER", "none")]),
            Ok(None)
        );
        assert_eq!(endpoint(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), Ok(None));
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_value() {
        let refused = endpoint(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "user:canary@host")]);
        let words = refused.unwrap_err();
        assert!(
            words.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT: "),
            "{words}"
        );
        assert!(!words.contains("canary"));
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        let grpc = endpoint(&[base, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
        assert!(grpc.unwrap_err().contains("http/protobuf"));
    }
}
