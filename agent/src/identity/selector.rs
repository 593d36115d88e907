//! Kubernetes' label selectors: `app=cart,tier!=cache,zone in (a,b),!canary,weight>3`.
//!
//! As in `kubectl -l`: all requirements hold; `!=` and `notin` hold also where the label is missing.

use super::labels::Labels;

/// Requirements that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Box<[Requirement]>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: Box<str>,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(Box<[Box<str>]>),
    NotIn(Box<[Box<str>]>),
    Above(i64),
    Below(i64),
}

/// What is wrong with a selector, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("label selector {text:?}, at character {position}: {problem}")]
pub struct SelectorError {
    text: String,
    /// Counted from 1.
    position: usize,
    problem: String,
}

impl Selector {
    /// Whether labels fulfil it. Does not allocate.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|Requirement { key, test }| {
            let value = labels.get(key);
            let is_one =
                |values: &[Box<str>]| value.is_some_and(|value| values.iter().any(|one| **one == *value));
            let number = || value?.parse::<i64>().ok();
            match test {
                Test::Exists => value.is_some(),
                Test::Missing => value.is_none(),
                Test::In(values) => is_one(values),
                Test::NotIn(values) => !is_one(values),
                Test::Above(limit) => number().is_some_and(|number| number > *limit),
                Test::Below(limit) => number().is_some_and(|number| number < *limit),
            }
        })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::str::FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { text, at: 0 };
        let mut requirements = Vec::new();
        parser.space();
        while !parser.rest().is_empty() {
            requirements.push(parser.requirement()?);
            parser.space();
            if parser.rest().is_empty() {
                break;
            }
            if !parser.take(",") {
                return Err(parser.problem("expected a comma or the end"));
            }
            parser.space();
            if parser.rest().is_empty() {
                return Err(parser.problem("expected a label's key after the comma"));
            }
        }
        Ok(Self(requirements.into()))
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
        }
        there
    }

    fn problem(&self, problem: impl Into<String>) -> SelectorError {
        self.problem_at(self.at, problem)
    }

    fn problem_at(&self, at: usize, problem: impl Into<String>) -> SelectorError {
        SelectorError {
            text: self.text.to_owned(),
            position: self.text[..at].chars().count() + 1,
            problem: problem.into(),
        }
    }

    /// Everything up to a sign that ends a word.
    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|sign: char| sign.is_whitespace() || ",()=!<>".contains(sign));
        let word = &rest[..end.unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let missing = self.take("!");
        self.space();
        let key = self.key()?;
        self.space();
        let test = if missing {
            Test::Missing
        } else if self.take("!=") {
            Test::NotIn([self.value()?].into())
        } else if self.take("==") || self.take("=") {
            Test::In([self.value()?].into())
        } else if self.take(">") {
            Test::Above(self.number()?)
        } else if self.take("<") {
            Test::Below(self.number()?)
        } else if self.rest().is_empty() || self.rest().starts_with(',') {
            Test::Exists
        } else {
            let start = self.at;
            match self.word() {
                "in" => Test::In(self.values()?),
                "notin" => Test::NotIn(self.values()?),
                _ => {
                    let problem = "expected =, !=, in, notin, <, >, a comma or the end after the key";
                    return Err(self.problem_at(start, problem));
                }
            }
        };
        Ok(Requirement { key, test })
    }

    fn key(&mut self) -> Result<Box<str>, SelectorError> {
        let start = self.at;
        let key = self.word();
        let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
        if key.is_empty() {
            Err(self.problem_at(start, "expected a label's key"))
        } else if name.is_empty() || !is_name(name) {
            Err(self.problem_at(start, format!("{name:?} is no label's name ({NAME})")))
        } else if let Some(prefix) = prefix.filter(|prefix| !is_domain(prefix)) {
            Err(self.problem_at(start, format!("{prefix:?} is no prefix of a label's key (a DNS name is)")))
        } else {
            Ok(key.into())
        }
    }

    fn value(&mut self) -> Result<Box<str>, SelectorError> {
        self.space();
        let start = self.at;
        let value = self.word();
        if value.is_empty() || is_name(value) {
            Ok(value.into())
        } else {
            Err(self.problem_at(start, format!("{value:?} is no label's value ({NAME}, or nothing)")))
        }
    }

    fn number(&mut self) -> Result<i64, SelectorError> {
        self.space();
        let start = self.at;
        let word = self.word();
        word.parse().map_err(|_| self.problem_at(start, "expected a whole number"))
    }

    fn values(&mut self) -> Result<Box<[Box<str>]>, SelectorError> {
        self.space();
        if !self.take("(") {
            return Err(self.problem("expected ( and a list of values"));
        }
        let mut values = Vec::new();
        loop {
            values.push(self.value()?);
            self.space();
            if self.take(")") {
                return Ok(values.into());
            }
            if !self.take(",") {
                return Err(self.problem("expected a comma or ) in the list of values"));
            }
        }
    }
}

const NAME: &str =
    "at most 63 letters, digits, dashes, dots and underscores, the first and last a letter or digit";

fn is_name(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn is_domain(text: &str) -> bool {
    let part = |part: &str| {
        let bytes = part.as_bytes();
        let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        !bytes.is_empty() && !part.starts_with('-') && !part.ends_with('-') && bytes.iter().all(inner)
    };
    text.len() <= 253 && text.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::Selector;
    use crate::identity::labels::Labels;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels: Labels = labels.iter().copied().collect();
        selector.parse::<Selector>().unwrap().matches(&labels)
    }

    const CART: [(&str, &str); 4] =
        [("app", "cart"), ("app.kubernetes.io/part-of", "shop"), ("canary", ""), ("weight", "5")];

    #[test]
    fn every_requirement_must_hold() {
        for selector in [
            "",
            " ",
            "app=cart",
            "app==cart",
            " app = cart , weight = 5 ",
            "app",
            "!none",
            "! none",
            "app!=web",
            "none!=web",
            "app in (web, cart)",
            "app in (cart)",
            "app notin (web,db)",
            "none notin (web)",
            "canary=",
            "canary in (,x)",
            "app.kubernetes.io/part-of=shop",
            "weight>4,weight<6",
            "app=cart,!none,weight in (5,6),canary",
        ] {
            assert!(selects(selector, &CART), "{selector}");
        }
        for selector in [
            "app=web",
            "app=car",
            "none",
            "!app",
            "app!=cart",
            "app in (web)",
            "none in (web)",
            "app notin (cart)",
            "canary!=",
            "app=",
            "weight>5",
            "app>1",
            "none<1",
            "app=cart,none",
        ] {
            assert!(!selects(selector, &CART), "{selector}");
        }
    }

    #[test]
    fn an_error_says_what_and_where() {
        let words = |text: &str| text.parse::<Selector>().unwrap_err().to_string();
        assert_eq!(
            words("app=cart,,x"),
            "label selector \"app=cart,,x\", at character 10: expected a label's key"
        );
        assert_eq!(
            words("app=cart,"),
            "label selector \"app=cart,\", at character 10: expected a label's key after the comma"
        );
        assert_eq!(
            words("app on (x)"),
            "label selector \"app on (x)\", at character 5: expected =, !=, in, notin, <, >, a comma or the \
             end after the key"
        );
        assert_eq!(
            words("ä, x"),
            "label selector \"ä, x\", at character 1: \"ä\" is no label's name (at most 63 \
             letters, digits, dashes, dots and underscores, the first and last a letter or digit)"
        );
        for (text, place, problem) in [
            ("=x", 1, "expected a label's key"),
            ("app in x", 8, "expected ( and a list of values"),
            ("app in (x", 10, "expected a comma or ) in the list of values"),
            ("app in (x y)", 11, "expected a comma or ) in the list of values"),
            ("app=a b", 7, "expected a comma or the end"),
            ("app=a=b", 6, "expected a comma or the end"),
            ("app>many", 5, "expected a whole number"),
            ("a/=x", 1, "\"\" is no label's name"),
            ("A_b/c=x", 1, "\"A_b\" is no prefix of a label's key"),
            ("app=-x", 5, "\"-x\" is no label's value"),
            ("!app=x", 5, "expected a comma or the end"),
        ] {
            let words = words(text);
            assert!(words.contains(&format!("at character {place}: {problem}")), "{words}");
        }
    }

    #[test]
    fn a_name_has_at_most_63_letters() {
        assert!(format!("app={}", "x".repeat(63)).parse::<Selector>().is_ok());
        assert!(format!("app={}", "x".repeat(64)).parse::<Selector>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), near in "[a-b/!=<> ,()in.]{0,24}") {
            let labels: Labels = CART.into_iter().collect();
            for text in [text, near] {
                if let Ok(selector) = text.parse::<Selector>() {
                    selector.matches(&labels);
                }
            }
        }
    }
}
