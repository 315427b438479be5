// SPDX-License-Identifier: MIT

//! server: the files of a directory over HTTP/3, until it is killed.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use h3::server::RequestResolver;
use http::{Response, StatusCode};
use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{socket_address, Result};

/// A path from the network stays below the directory of documents.
fn document(documents: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path.strip_prefix('/')?);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| documents.join(relative))
}

async fn answer(resolver: RequestResolver<h3_quinn::Connection, Bytes>, documents: PathBuf) -> Result<()> {
    let (request, mut stream) = resolver.resolve_request().await?;
    let body = document(&documents, request.uri().path()).and_then(|file| std::fs::read(file).ok());
    let status = if body.is_some() {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };

    stream
        .send_response(Response::builder().status(status).body(())?)
        .await?;
    stream.send_data(Bytes::from(body.unwrap_or_default())).await?;
    stream.finish().await?;
    Ok(())
}

async fn converse(incoming: quinn::Incoming, documents: PathBuf) -> Result<()> {
    // Not `into_0rtt`: HTTP/3's settings in 0.5-RTT left some of quic-go's requests unanswered. What came in 0-RTT is
    // read all the same.
    let connection = incoming.await?;
    let mut h3 = h3::server::Connection::new(h3_quinn::Connection::new(connection)).await?;
    while let Some(resolver) = h3.accept().await? {
        let documents = documents.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(resolver, documents).await {
                eprintln!("request: {error}");
            }
        });
    }
    Ok(())
}

pub async fn serve(address: &str, port: &str, cert: &str, key: &str, documents: &str, retry: bool) -> Result<()> {
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<std::result::Result<Vec<_>, _>>()?;
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls.max_early_data_size = u32::MAX; // the only value but 0 that QUIC allows
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    let endpoint = quinn::Endpoint::server(config, socket_address(address, port)?)?;

    println!("ready");
    while let Some(incoming) = endpoint.accept().await {
        if retry && !incoming.remote_address_validated() {
            incoming.retry()?;
            continue;
        }
        let documents = PathBuf::from(documents);
        tokio::spawn(async move {
            if let Err(error) = converse(incoming, documents).await {
                eprintln!("connection: {error}");
            }
        });
    }
    Ok(())
}
