//! An S3 service to measure against, named by the environment. The bucket must exist.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStoreExt as _, PutPayload, WriteMultipart};

const KEY: &str = "AFTERBACKUP_BENCH_S3_ACCESS_KEY";
const SECRET: &str = "AFTERBACKUP_BENCH_S3_SECRET_KEY";

/// Where it is.
pub(crate) struct Bucket {
    endpoint: String,
    name: String,
    /// Keeps runs apart.
    prefix: String,
}

impl Bucket {
    /// The bucket that the environment names.
    pub(crate) fn from_environment() -> Option<Self> {
        Some(Self {
            endpoint: std::env::var("AFTERBACKUP_BENCH_S3_ENDPOINT").ok()?,
            name: std::env::var("AFTERBACKUP_BENCH_S3_BUCKET").ok()?,
            prefix: format!("compare-{}", std::process::id()),
        })
    }

    /// Writes a configuration with this bucket as the only destination.
    pub(crate) fn configure(&self, file: &Path, source: &Path, folder: &str) -> Result<()> {
        let Self { endpoint, name, prefix } = self;
        let (lock, source) = (file.with_extension("lock"), source.display());
        let text = format!(
            "lock-file = '{}'\n\n[snapshot]\npath = '{source}'\nquiet = \"0s\"\n\n[[destination]]\n\
             name = \"bucket\"\nurl = \"s3://{name}/{prefix}/{folder}\"\nendpoint = \"{endpoint}\"\n\
             region = \"us-east-1\"\naccess-key-env = \"{KEY}\"\nsecret-key-env = \"{SECRET}\"\n",
            lock.display()
        );
        Ok(fs::write(file, text)?)
    }

    /// Copies all archives of a folder destination below `folder`.
    pub(crate) fn upload(&self, vault: &Path, folder: &str) -> Result<()> {
        const PART_BYTES: usize = 8 << 20;
        let runtime = tokio::runtime::Runtime::new()?;
        let store = Arc::new(self.store()?);
        let files: Vec<_> = fs::read_dir(vault.join("XYZ"))?.collect::<Result<_, _>>()?;
        let uploads = files.into_iter().map(|entry| {
            let store = Arc::clone(&store);
            let key = format!("{}/{folder}/XYZ/{}", self.prefix, entry.file_name().to_string_lossy());
            async move {
                let key = object_store::path::Path::from(key);
                let bytes = bytes::Bytes::from(fs::read(entry.path())?);
                if bytes.len() <= PART_BYTES {
                    store.put(&key, PutPayload::from_bytes(bytes)).await?;
                } else {
                    let mut upload = WriteMultipart::new_with_chunk_size(store.put_multipart(&key).await?, PART_BYTES);
                    for start in (0..bytes.len()).step_by(PART_BYTES) {
                        upload.wait_for_capacity(4).await?;
                        upload.put(bytes.slice(start..bytes.len().min(start + PART_BYTES)));
                    }
                    upload.finish().await?;
                }
                anyhow::Ok(())
            }
        });
        runtime.block_on(stream::iter(uploads).buffer_unordered(8).try_collect::<()>())
    }

    fn store(&self) -> Result<AmazonS3> {
        // Fails only when a provider is installed already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let secret = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
        Ok(AmazonS3Builder::new()
            .with_bucket_name(&self.name)
            .with_endpoint(&self.endpoint)
            .with_region("us-east-1")
            .with_allow_http(true)
            .with_access_key_id(secret(KEY)?)
            .with_secret_access_key(secret(SECRET)?)
            .build()?)
    }
}
