//! Settings as text.

use crate::command::layout::{Column, table};
use crate::servent::report::SettingReport;

/// Every key with its value and where that came from.
pub(super) fn settings_table(settings: &[SettingReport], width: Option<usize>) -> String {
    let row = |setting: &SettingReport| {
        let value = match setting.value.as_str() {
            "" => "-".to_owned(),
            value => value.to_owned(),
        };
        vec![setting.key.clone(), value, setting.origin.clone()]
    };
    let rows: Vec<_> = settings.iter().map(row).collect();
    table(&[Column::Left, Column::Name, Column::Left], &rows, width)
}
