//! `sockeye agent`: one flag for each setting of the agent's table.

use agent::api::config::{
    Given,
    settings::{FILE, SETTINGS, Setting},
};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

/// The flags that were given, as text: what they mean, the agent's configuration says.
#[derive(Clone, Debug)]
pub struct AgentArgs(pub Given);

impl Args for AgentArgs {
    fn augment_args(command: Command) -> Command {
        let file =
            Arg::new(FILE).long(FILE).value_name("FILE").action(ArgAction::Set).help(
                "Read settings from this YAML file: the names below without dashes, as in node-name: n1",
            );
        SETTINGS.iter().fold(command.arg(file), |command, setting| command.arg(flag(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(setting: &Setting) -> Arg {
    let default = setting.default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
    let action = if setting.list { ArgAction::Append } else { ArgAction::Set };
    Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value)
        .action(action)
        // A negative number is answered by the setting, which knows what would be right.
        .allow_hyphen_values(true)
        .help(format!("{}{default}", setting.help))
        .help_heading(setting.group)
}

impl FromArgMatches for AgentArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let names = SETTINGS.iter().map(|setting| setting.name).chain([FILE]);
        let given = names.filter_map(|name| {
            let texts: Vec<String> = matches.get_many::<String>(name)?.cloned().collect();
            Some((name.to_owned(), texts))
        });
        Ok(Self(Given(given.collect())))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
