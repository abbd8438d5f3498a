//! An S3 server in this process: real protocol and real signatures, storage in a scratch folder.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder as Connection;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

pub const ACCESS_KEY: &str = "test-access-key";
pub const SECRET_KEY: &str = "test-secret-key";

/// Runs until it is dropped.
pub struct S3Server {
    address: SocketAddr,
    scheme: &'static str,
    root: TempDir,
    /// Dropping it ends the server. In an `Option` because that must not wait.
    runtime: Option<Runtime>,
}

impl S3Server {
    pub fn start() -> Self {
        Self::serve(None)
    }

    /// Over TLS, with a certificate for 127.0.0.1 of an authority that nobody knows. Its own certificate, as PEM.
    pub fn start_with_tls() -> (Self, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = names.signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        (Self::serve(Some(TlsAcceptor::from(Arc::new(config)))), authority.pem())
    }

    fn serve(tls: Option<TlsAcceptor>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, tls) = (service.clone(), tls.clone());
                tokio::spawn(async move {
                    let connection = Connection::new(TokioExecutor::new());
                    // A client that goes away, or does not trust us, is its own business.
                    match tls {
                        None => connection.serve_connection(TokioIo::new(socket), service).await.ok(),
                        Some(tls) => match tls.accept(socket).await {
                            Ok(socket) => connection.serve_connection(TokioIo::new(socket), service).await.ok(),
                            Err(_) => None,
                        },
                    };
                });
            }
        });
        Self { address, scheme, root, runtime: Some(runtime) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Makes a bucket, and says where its objects lie.
    pub fn create_bucket(&self, name: &str) -> PathBuf {
        let path = self.root.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    }

    /// How many folders and objects are in a bucket.
    pub fn objects(&self, bucket: &str) -> usize {
        std::fs::read_dir(self.root.path().join(bucket)).unwrap().count()
    }

    /// Parts of multipart uploads that nobody completed or aborted.
    pub fn orphaned_parts(&self) -> usize {
        let items = std::fs::read_dir(self.root.path()).unwrap();
        items.filter(|item| item.as_ref().unwrap().file_name().to_string_lossy().starts_with(".upload_id-")).count()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
