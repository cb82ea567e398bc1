//! What all simulations begin with: an empty database of the present schema, and the catalogue.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use attendant::{
    config::{Config, Env, Inputs},
    credentials::vault::Vault,
    definition::Registry,
    engine::{
        catalog::Catalog,
        plan::{self, Visibility},
    },
    outbound::Outbound,
    store::{
        Store,
        sqlite::{self, DatabaseLock, Synchronous},
    },
};
use tempfile::TempDir;

const ACME: &str = include_str!("acme.toml");
const CONFIG: &str = r#"
[accounts.acme]
provider = "acme"
limits = ["12/1m", "300/6h"]
secrets.id = { env = "ID" }
secrets.secret = { env = "SECRET" }
[accounts.plain]
provider = "acme"
base_url = "https://plain.test"
limits = []
secrets.id = { env = "ID" }
secrets.secret = { env = "OTHER" }
[accounts.certn]
provider = "certn"
base_url = "https://certn.test"
limits = ["10/1m", "200/12h"]
secrets.client_id = { env = "ID" }
secrets.client_secret = { env = "SECRET" }
"#;

pub struct Template {
    database: Vec<u8>,
    pub catalog: Catalog,
    pub vault: Arc<Vault>,
    pub outbound: Outbound,
}

/// Made once in a process.
pub fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Template::make())
    })
}

impl Template {
    async fn make() -> Self {
        let folder = folder();
        let dir = folder.path();
        std::fs::create_dir(dir.join("jobs.d")).unwrap();
        std::fs::write(dir.join("jobs.d/acme.toml"), ACME).unwrap();
        let file = dir.join("attendant.toml");
        std::fs::write(&file, CONFIG).unwrap();
        let env: Env = [("HOME", "/"), ("ID", "id"), ("SECRET", "s3cret"), ("OTHER", "s4cret")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let config = Config::load(&Inputs::new(Some(&file), &env)).unwrap();
        let registry = Registry::load(Some(&dir.join("jobs.d"))).unwrap();
        let plan = plan::plan(&config, registry, &env, Visibility::Service).unwrap();
        let vault = Arc::new(Vault::ephemeral());
        let store = open(dir).await;
        let catalog = Catalog::register(plan, &*store, &vault).await.unwrap();
        store.close().await;
        let database = std::fs::read(dir.join("attendant.db")).unwrap();
        Self { database, catalog, vault, outbound: Outbound::new().unwrap() }
    }

    /// A folder with a database of its own.
    pub fn copy(&self) -> TempDir {
        let folder = folder();
        std::fs::write(folder.path().join("attendant.db"), &self.database).unwrap();
        folder
    }
}

pub async fn open(dir: &Path) -> Arc<dyn Store> {
    let lock = DatabaseLock::take(&dir.join("attendant.db")).unwrap();
    Arc::new(sqlite::open(lock, Synchronous::Normal).await.unwrap())
}

/// In memory where there is such a place: what counts is what was committed, not that it would
/// outlive the machine.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(folder) = tempfile::tempdir_in(memory)
    {
        return folder;
    }
    tempfile::tempdir().unwrap()
}
