// SPDX-License-Identifier: MIT

//! client: one GET over HTTP/3, in the way its test asks for.

use std::fs::File;
use std::future::poll_fn;
use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use http::{Request, StatusCode};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Endpoint, TransportConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::CertificateDer;
use rustls::RootCertStore;

use crate::{socket_address, Result};

const TIME_LIMIT: Duration = Duration::from_secs(25);
const IDLE_LIMIT: Duration = Duration::from_secs(8);
/// Bytes of the answer, before the address changes.
const CHANGE_AFTER: usize = 500_000;

struct Client<'a> {
    host: &'a str,
    remote: SocketAddr,
    url: String,
    output: &'a str,
    endpoint: Endpoint,
}

fn any_address() -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, 0).into()
}

fn configuration(ca: &str) -> Result<quinn::ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls.enable_early_data = true;
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(IDLE_LIMIT.try_into()?));
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

impl Client<'_> {
    /// Asks for the document; with `migrate`, the endpoint gets another socket in the middle of the answer.
    async fn request(&self, h3: &mut SendRequest<h3_quinn::OpenStreams, Bytes>, migrate: bool) -> Result<()> {
        let mut stream = h3.send_request(Request::get(&self.url).body(())?).await?;
        stream.finish().await?;
        let response = stream.recv_response().await?;
        if response.status() != StatusCode::OK {
            return Err(format!("status {}", response.status()).into());
        }
        let mut file = File::create(self.output)?;
        let mut received = 0;
        let mut changed = !migrate;
        while let Some(mut piece) = stream.recv_data().await? {
            received += piece.remaining();
            while piece.has_remaining() {
                let written = file.write(piece.chunk())?;
                piece.advance(written);
            }
            if !changed && received >= CHANGE_AFTER {
                self.endpoint.rebind(UdpSocket::bind(any_address())?)?;
                changed = true;
            }
        }
        Ok(())
    }

    async fn converse(&self, connection: quinn::Connection, migrate: bool) -> Result<()> {
        let (mut driver, mut h3) = h3::client::new(h3_quinn::Connection::new(connection.clone())).await?;
        let outcome = tokio::select! {
            outcome = self.request(&mut h3, migrate) => outcome,
            error = poll_fn(|cx| driver.poll_close(cx)) => Err(error.into()),
        };
        connection.close(0x100u32.into(), b""); // RFC 9114 s8.1: H3_NO_ERROR
        outcome
    }

    async fn plain(&self, migrate: bool) -> Result<()> {
        let connection = self.endpoint.connect(self.remote, self.host)?.await?;
        self.converse(connection, migrate).await
    }

    /// Gets the document twice: for a session ticket, then in 0-RTT.
    async fn resumed(&self) -> Result<()> {
        self.plain(false).await?;
        let Ok((connection, accepted)) = self.endpoint.connect(self.remote, self.host)?.into_0rtt() else {
            return Err("no session ticket that allows 0-RTT".into());
        };
        self.converse(connection, false).await?;
        if !accepted.await {
            return Err("0-RTT was not accepted".into());
        }
        Ok(())
    }
}

pub async fn get(host: &str, address: &str, port: &str, ca: &str, test: &str, path: &str, output: &str) -> Result<()> {
    let mut remote = socket_address(address, port)?;
    if let SocketAddr::V4(v4) = remote {
        remote = (v4.ip().to_ipv6_mapped(), v4.port()).into(); // one kind of socket for both families
    }
    let mut endpoint = Endpoint::client(any_address())?;
    endpoint.set_default_client_config(configuration(ca)?);
    let client = Client {
        host,
        remote,
        url: format!("https://{host}{path}"),
        output,
        endpoint,
    };
    let work = async {
        match test {
            "plain" => client.plain(false).await,
            "0rtt" => client.resumed().await,
            "migrate" => client.plain(true).await,
            _ => Err(format!("unknown test '{test}'").into()),
        }
    };
    tokio::time::timeout(TIME_LIMIT, work).await??;
    client.endpoint.wait_idle().await;
    Ok(())
}
