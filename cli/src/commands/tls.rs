//! `brownout tls`: the authority of routes with `tls = "self"`.

use brownout_proxy::LocalAuthority;

use crate::{
    args::{TlsArgs, TlsCommand},
    control_settings::state_directory,
    exit::{Exit, Failure},
};

pub(crate) fn run(args: &TlsArgs) -> Result<Exit, Failure> {
    let TlsCommand::Ca { pem, state_dir } = &args.command;
    let directory = state_directory(state_dir.as_deref()).ok_or_else(|| {
        let why =
            "there is neither HOME nor XDG_STATE_HOME to keep an authority in; give --state-dir";
        Failure::new(Exit::Usage, why)
    })?;
    let authority =
        LocalAuthority::open(&directory).map_err(|error| Failure::chain(Exit::Usage, &error))?;
    if *pem {
        print!("{}", authority.pem());
        return Ok(Exit::Ok);
    }
    // Variables are read in another directory.
    let path = std::path::absolute(authority.path());
    let path = path.unwrap_or_else(|_| authority.path().to_owned());
    let path = path.display();
    println!(
        "the local authority, for routes with tls = \"self\"
  certificate  {path}
  SHA-256      {}

Let a client trust it, and no other program:
  curl    curl --cacert {path} https://localhost:9100/
  Python  export SSL_CERT_FILE={path}         # ssl, httpx, aiohttp
          export REQUESTS_CA_BUNDLE={path}    # requests
  Node    export NODE_EXTRA_CA_CERTS={path}
  Go      export SSL_CERT_FILE={path}
  Java    keytool -importcert -noprompt -alias brownout -file {path} -keystore brownout.p12 -storepass changeit
          export JAVA_TOOL_OPTIONS=\"-Djavax.net.ssl.trustStore=brownout.p12 -Djavax.net.ssl.trustStorePassword=changeit\"

SSL_CERT_FILE, REQUESTS_CA_BUNDLE and trustStore replace what is trusted otherwise; NODE_EXTRA_CA_CERTS adds to it. Whoever has
the key beside the certificate can pass for any host to these clients: do not copy it.",
        authority.fingerprint()
    );
    Ok(Exit::Ok)
}
