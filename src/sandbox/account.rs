//! What an account needs in order to use a simulated provider.

use super::{Provider, certiscan, certn, controlbyweb, ipseity, scantrust};

/// Names of a definition with their values.
type Named = Vec<(&'static str, String)>;

impl Provider {
    /// Every provider, as the demo has it.
    #[must_use]
    pub fn all() -> [Self; 5] {
        [
            Self::Certn(certn::Settings::default()),
            Self::ControlByWeb(controlbyweb::Settings::default()),
            Self::ScanTrust(scantrust::Settings::default()),
            Self::CertiScan(certiscan::Settings::default()),
            Self::Ipseity(ipseity::Settings::default()),
        ]
    }

    /// As its definition is called.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CertiScan(_) => "certiscan",
            Self::Certn(_) => "certn",
            Self::ControlByWeb(_) => "controlbyweb",
            Self::Ipseity(_) => "ipseity",
            Self::ScanTrust(_) => "scantrust",
        }
    }

    /// What an account's `base_url` has after the host.
    pub const fn base_path(&self) -> &'static str {
        match self {
            Self::CertiScan(_) => certiscan::BASE_PATH,
            Self::ControlByWeb(_) => controlbyweb::BASE_PATH,
            Self::Certn(_) | Self::Ipseity(_) | Self::ScanTrust(_) => "",
        }
    }

    /// A set of secrets that lets an account in.
    pub fn secrets(&self) -> Named {
        let named = |pairs: [(&'static str, &String); 2]| {
            pairs.into_iter().map(|(name, value)| (name, value.clone())).collect()
        };
        match self {
            Self::CertiScan(one) => named([("subject", &one.subject), ("secret", &one.secret)]),
            Self::Certn(one) => {
                named([("client_id", &one.client_id), ("client_secret", &one.client_secret)])
            }
            Self::ControlByWeb(one) => {
                named([("username", &one.username), ("password", &one.password)])
            }
            Self::Ipseity(one) => named([("user", &one.user), ("pass", &one.pass)]),
            Self::ScanTrust(one) => named([("email", &one.email), ("password", &one.password)]),
        }
    }

    /// The parameters of an account.
    pub fn params(&self) -> Named {
        match self {
            Self::ControlByWeb(one) => vec![("account_id", one.account_id.to_string())],
            _ => vec![],
        }
    }
}
