// SPDX-License-Identifier: MIT

//! interop peer on quinn and h3, HTTP/3. The command line is that of every
//! peer in tests/interop (docs/interop.md):
//!
//! ```text
//! quinn-peer client HOST ADDRESS PORT CA TEST PATH OUTPUT
//! quinn-peer server ADDRESS PORT CERT KEY DOCUMENTS [retry]
//! ```

mod client;
mod server;

use std::net::{IpAddr, SocketAddr};

/// What goes wrong ends the program, or one connection, with its message.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub fn socket_address(address: &str, port: &str) -> Result<SocketAddr> {
    Ok(SocketAddr::new(address.parse::<IpAddr>()?, port.parse()?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["client", host, address, port, ca, test, path, output] => {
            client::get(host, address, port, ca, test, path, output).await
        }
        ["server", address, port, cert, key, documents] => {
            server::serve(address, port, cert, key, documents, false).await
        }
        ["server", address, port, cert, key, documents, "retry"] => {
            server::serve(address, port, cert, key, documents, true).await
        }
        _ => Err("usage: client HOST ADDRESS PORT CA TEST PATH OUTPUT \
                  | server ADDRESS PORT CERT KEY DOCUMENTS [retry]"
            .into()),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quinn-peer: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
