//! `afterbackup recover script`

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::answers::{self, Answers};
use super::check::lines;
use super::found::{find, site_type};
use crate::catalog::Selector;
use crate::cli::Program;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::fetch::Key;
use crate::cli::place::Place;
use crate::platform::private;
use crate::recovery::check::Finding;
use crate::recovery::facts::ArchiveFacts;
use crate::recovery::ini::Store;
use crate::recovery::keys::{KEYS, SiteType};
use crate::recovery::script::{Given, Origin, Script, defaults, from_archive, refused_by_archive, write};
use crate::recovery::values::backup_folder_site;

const EXAMPLES: &str = r"Site code, database, options and folders come from the archive. Keys that are not used with the chosen options are left
out. What Microsoft's rules exclude is refused with exit code 2. The product key comes from --product-id-file or the answers
file, so that it is not seen in lists of processes; without one, --product-id Eval.

Answers are TOML, with the flags of keys as names:
  site-type = 'primary'
  product-id-file = 'C:\Recovery\key.txt'
  site-name = 'Contoso'
  sms-install-dir = 'D:\Program Files\Microsoft Configuration Manager'
  sdk-server = 'cm01.contoso.com'
  sql-server-name = 'cm01.contoso.com'

Examples:
  afterbackup recover script latest-good --answers C:\Recovery\answers.toml --fetched-to E:\Restore --output C:\Recovery\XYZ.ini
  afterbackup recover script --site-type primary --backup-location E:\Restore\XYZBackup --answers answers.toml";

/// Write an unattended script.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The archive: an id, latest, latest~2, latest-good, XYZ@2026-11-20 [default: none, all values are given]
    archive: Option<Selector>,
    /// The kind of the site: cas, primary (stand-alone) or child-primary
    #[arg(long, value_name = "TYPE")]
    site_type: Option<SiteType>,
    /// Take values from this TOML file; flags count more
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Where the archive was or will be fetched to, as the recovered server sees it
    #[arg(long, value_name = "DIR")]
    fetched_to: Option<String>,
    /// Write the script to this new file, which ends with .ini [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Store it as utf-8 or utf-16le [default: UTF-8 if all is ASCII, else UTF-16LE]
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    encoding: Option<Store>,
    /// Write it even if the database in the archive is damaged
    #[arg(long)]
    accept_damage: bool,
    /// Read the product key from this file, which holds nothing else
    #[arg(long, value_name = "FILE")]
    product_id_file: Option<PathBuf>,
    #[command(flatten)]
    values: Values,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    place: Place,
}

fn encoding(text: &str) -> Result<Store, &'static str> {
    match text.to_lowercase().as_str() {
        "utf-8" => Ok(Store::Utf8),
        "utf-16le" => Ok(Store::Utf16Le),
        _ => Err("expected utf-8 or utf-16le"),
    }
}

macro_rules! values {
    ($($field:ident $key:literal $help:literal;)*) => {
        /// A flag for each key of the script.
        #[derive(clap::Args)]
        #[command(next_help_heading = "Values of the script")]
        struct Values {
            $(#[arg(long, value_name = "VALUE", help = concat!($key, ": ", $help))]
            $field: Option<String>,)*
        }

        impl Values {
            fn all(&self) -> Vec<(&'static str, Option<&String>)> {
                vec![$(($key, self.$field.as_ref())),*]
            }
        }
    };
}

values! {
    cd_latest "CDLatest" "1 when Setup runs from CD.Latest [default: 1]";
    server_recovery_options "ServerRecoveryOptions" "1 site server and SQL Server, 2 site server only, 4 SQL Server only";
    database_recovery_options "DatabaseRecoveryOptions" "10 from the backup, 20 recovered by hand, 40 new, 80 skip";
    reference_site "ReferenceSite" "primary site for global data of a central administration site";
    site_server_backup_location "SiteServerBackupLocation" "the XXXBackup folder";
    backup_location "BackupLocation" "the XXXBackup folder with the database";
    product_id "ProductID" "Eval; a product key belongs to --product-id-file";
    site_code "SiteCode" "as before";
    site_name "SiteName" "the description of the site";
    sms_install_dir "SMSInstallDir" "the original installation folder, or a new one";
    sdk_server "SDKServer" "full domain name of the SMS Provider, as before";
    prerequisite_comp "PrerequisiteComp" "0 download, 1 already there";
    prerequisite_path "PrerequisitePath" r"folder of the prerequisites, usually CD.Latest\redist";
    admin_console "AdminConsole" "0 or 1 [default: 1]";
    join_ceip "JoinCEIP" "0, which both tables allow [default: 0]";
    sql_server_name "SQLServerName" "as before";
    database_name "DatabaseName" r"name or INSTANCE\name, as before";
    sql_ssb_port "SQLSSBPort" "as before [default: 4022]";
    sql_data_file_path "SQLDataFilePath" "local folder";
    sql_log_file_path "SQLLogFilePath" "local folder";
    cloud_connector "CloudConnector" "0 or 1 [default: 0]";
    cloud_connector_server "CloudConnectorServer" "with CloudConnector 1";
    use_proxy "UseProxy" "0 or 1, with CloudConnector 1 [default: 0]";
    proxy_name "ProxyName" "with UseProxy 1";
    proxy_port "ProxyPort" "with UseProxy 1";
    ccar_site_server "CCARSiteServer" "full domain name of the central administration site's server";
    cas_retry_interval "CASRetryInterval" "minutes";
    wait_for_cas_timeout "WaitForCASTimeout" "minutes, 0 to 100";
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Document<'a> {
    file: String,
    site_type: SiteType,
    keys: Vec<KeyOrigin>,
    left_out: &'a [String],
    warnings: &'a [Finding],
}

#[derive(Serialize)]
struct KeyOrigin {
    key: &'static str,
    origin: Origin,
}

pub(super) fn script(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    if program.console.is_json() && args.output.is_none() {
        return Err(Failure::words(Exit::Usage, "--json needs --output: the product key is never in JSON"));
    }
    let answers = args.answers.as_deref().map(answers::read).transpose()?.unwrap_or_default();
    let site_type = site_type(args.site_type.or(answers.site_type))?;
    let output = args.output.as_deref().map(new_file).transpose()?;
    let mut given = from_command_line(args, &answers)?;
    given.extend(answers.given);
    let fetched_to = args.fetched_to.clone().or(answers.fetched_to);
    let facts = match &args.archive {
        Some(selector) => Some(find(program, &args.place, selector)?.facts(&args.key)?),
        None => None,
    };
    match &facts {
        Some(facts) => {
            given.extend(from_archive(facts, fetched_to.as_deref()));
            let refused = refused_by_archive(facts, &given, args.accept_damage);
            if !refused.is_empty() {
                return Err(refusal(&refused));
            }
        }
        None => given.extend(from_backup_location(&given)),
    }
    given.extend(defaults());
    let script = write(site_type, &given, &heading(facts.as_ref(), site_type)).map_err(|refused| refusal(&refused))?;
    finish(program, args, &script, output, site_type)
}

fn finish(
    program: &Program<'_>,
    args: &Args,
    script: &Script,
    output: Option<&Path>,
    site_type: SiteType,
) -> Result<Exit, Failure> {
    for words in &script.left_out {
        program.console.warn(words);
    }
    for warning in &script.warnings {
        program.console.warn(&warning.message);
        program.console.hint(warning.hint.as_deref());
    }
    let Some(path) = output else {
        if args.encoding == Some(Store::Utf16Le) {
            return Err(Failure::words(Exit::Usage, "--encoding utf-16le needs --output"));
        }
        program.console.verbatim(&script.text);
        return Ok(Exit::Done);
    };
    // It holds the product key.
    let written = private::create_new(path);
    let written =
        written.and_then(|mut file| file.write_all(&script.bytes(args.encoding)).and_then(|()| file.sync_all()));
    written.map_err(|error| Failure::words(Exit::Failed, format!("cannot write {}: {error}", path.display())))?;
    if program.console.is_json() {
        let keys = script.keys.iter().map(|&(key, origin)| KeyOrigin { key, origin }).collect();
        let file = path.display().to_string();
        program.console.document(&Document {
            file,
            site_type,
            keys,
            left_out: &script.left_out,
            warnings: &script.warnings,
        });
    } else {
        program.console.result(&format!("Wrote {}, which passes the rules of 2016 and 2022\n", path.display()));
        program.console.note("It holds what Setup needs, the product key included: remove it after the recovery.");
    }
    Ok(Exit::Done)
}

/// Before anything is read: a name that Setup takes, of a file that is not there.
fn new_file(path: &Path) -> Result<&Path, Failure> {
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ini")) {
        return Err(Failure::words(
            Exit::Usage,
            format!("{} does not end with .ini, as Setup demands", path.display()),
        ));
    }
    if path.exists() {
        return Err(Failure::words(Exit::Failed, format!("{} is already there", path.display()))
            .hint(Some("name another file, or remove it first: a script is never replaced")));
    }
    Ok(path)
}

fn from_command_line(args: &Args, answers: &Answers) -> Result<Vec<Given>, Failure> {
    let about = |name: &str| KEYS.iter().find(|key| key.name == name).map_or("", |key| key.about);
    let mut given: Vec<Given> = args
        .values
        .all()
        .into_iter()
        .filter_map(|(key, value)| Some(Given::new(key, value?, Origin::Flag, about(key))))
        .collect();
    let on_command_line = given.iter().find(|one| one.key.name == "ProductID");
    if on_command_line.is_some_and(|one| !one.value.eq_ignore_ascii_case("eval")) {
        return Err(Failure::words(Exit::Usage, "--product-id takes Eval only: everybody can see the command line")
            .hint(Some("put the product key into a file and name it with --product-id-file")));
    }
    let from = match (&args.product_id_file, &answers.product_id_file) {
        (Some(file), _) => Some((file, Origin::Flag)),
        (None, Some(file)) => Some((file, Origin::Answers)),
        (None, None) => None,
    };
    if let Some((file, origin)) = from.filter(|_| on_command_line.is_none()) {
        let text = fs::read_to_string(file).map_err(|error| {
            Failure::words(Exit::Usage, format!("cannot read the product key in {}: {error}", file.display()))
        })?;
        given.push(Given::new("ProductID", text.trim_start_matches('\u{feff}').trim(), origin, "from a file"));
    }
    Ok(given)
}

/// Without an archive, the folder of the backup says which site it is.
fn from_backup_location(given: &[Given]) -> Vec<Given> {
    let folder = given.iter().find(|one| matches!(one.key.name, "BackupLocation" | "SiteServerBackupLocation"));
    let site = folder.and_then(|folder| backup_folder_site(&folder.value));
    site.map(|site| Given::new("SiteCode", site, Origin::Archive, "the name of the XXXBackup folder"))
        .into_iter()
        .collect()
}

fn refusal(refused: &[Finding]) -> Failure {
    let told: String = refused.iter().map(lines).collect();
    Failure::words(Exit::Usage, format!("no script was written, because the rules exclude it\n{}", told.trim_end()))
}

fn heading(facts: Option<&ArchiveFacts>, site_type: SiteType) -> Vec<String> {
    let mut heading =
        vec![format!("Unattended recovery of a {site_type}, written by afterbackup {}", env!("CARGO_PKG_VERSION"))];
    if let Some(facts) = facts {
        heading.push(format!("from archive {}, whose snapshot was completed {}", facts.id, facts.completed));
    }
    heading.push(
        "Copy CD.Latest to a folder outside the installation folder and run, with the full path of this file:".into(),
    );
    heading.push(r"  CD.Latest\SMSSETUP\BIN\X64\setup.exe /script C:\path\X.ini".into());
    heading.push("From a share, map a drive first.".into());
    heading
}
