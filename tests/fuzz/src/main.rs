//! The long form: `rustorium-fuzz [--inputs N] [--seed N] [--threads N] [TARGET...]`, one line a target; ends with 1 where
//! something was found, which is stored in the target's corpus as `found-…`.
//!
//! `rustorium-fuzz make` writes the good inputs whose salts are random, where they are missing; `names` lists the targets;
//! `seeds TARGET FOLDER` writes what a target begins with, for the coverage-guided program, and `pack TARGET FOLDER` stores what
//! that found.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a program of tests")]

use rustorium_fuzz::run::{Figures, Finding, all};
use rustorium_fuzz::targets::made;
use rustorium_fuzz::{TARGETS, Target, corpus, target};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

struct Options {
    inputs: u64,
    seed: u64,
    threads: usize,
    targets: Vec<&'static Target>,
}

fn options() -> Result<Options, String> {
    let mut options = Options { inputs: 1_000_000, seed: 1, threads: 1, targets: Vec::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|text| text.parse().ok()).ok_or(format!("{word} needs a number"));
        match word.as_str() {
            "--inputs" => options.inputs = number()?,
            "--seed" => options.seed = number()?,
            "--threads" => options.threads = number()? as usize,
            name => options.targets.push(target(name).ok_or(format!("there is no target {name}"))?),
        }
    }
    if options.targets.is_empty() {
        options.targets = TARGETS.iter().collect();
    }
    Ok(options)
}

fn line(target: &Target, figures: &Figures) -> String {
    let Figures { inputs, time, slowest, bytes_max } = figures;
    let a_second = inputs * 1_000_000 / u64::try_from(time.as_micros()).unwrap().max(1);
    let slowest_us = slowest.as_micros();
    format!("{:22} {inputs:>9} inputs {a_second:>8}/s {slowest_us:>9} us {bytes_max:>9} bytes", target.name)
}

fn keep(target: &Target, finding: &Finding) -> std::io::Result<String> {
    let folder = corpus::folder(target);
    std::fs::create_dir_all(&folder)?;
    let name = format!("found-{}", &blake3::hash(&finding.input).to_hex()[..12]);
    std::fs::write(folder.join(&name), &finding.input)?;
    Ok(format!("{name}: {finding}"))
}

fn make() -> std::io::Result<()> {
    for (name, bytes) in made() {
        let path = corpus::folder(target(name).unwrap()).join("made");
        if !path.exists() {
            std::fs::create_dir_all(path.parent().unwrap())?;
            std::fs::write(&path, bytes)?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

fn seeds(target: &Target, folder: &Path) -> std::io::Result<()> {
    let mut inputs = corpus::all(target).into_iter().enumerate();
    inputs.try_for_each(|(number, input)| std::fs::write(folder.join(format!("{}{number}", corpus::SEED)), input))
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make"] => make().unwrap(),
        ["names"] => TARGETS.iter().for_each(|target| println!("{}", target.name)),
        ["seeds", name, folder] => seeds(target(name).unwrap(), Path::new(folder)).unwrap(),
        ["pack", name, folder] => {
            let count = corpus::pack(target(name).unwrap(), Path::new(folder)).unwrap();
            println!("{name}: {count} inputs are stored");
        }
        _ => return long_form(),
    }
    ExitCode::SUCCESS
}

fn long_form() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(what) => {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            eprintln!("error: {what}; targets are {}", names.join(" "));
            return ExitCode::from(2);
        }
    };
    // A finding is told with its input; the message of its panic alone would drown it.
    std::panic::set_hook(Box::new(|_| {}));
    let waiting = Mutex::new(options.targets.iter());
    let found = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                while let Some(target) = { waiting.lock().unwrap().next() } {
                    match all(target, options.seed, options.inputs) {
                        Ok(figures) => println!("{}", line(target, &figures)),
                        Err(finding) => {
                            println!("{}", keep(target, &finding).unwrap());
                            *found.lock().unwrap() += 1;
                        }
                    }
                }
            });
        }
    });
    let found = *found.lock().unwrap();
    println!("{} targets, {found} found something", options.targets.len());
    ExitCode::from(u8::from(found > 0))
}
