//! How faults read and change the fields of a head.

use std::ops::ControlFlow;

use brownout_fault::{EditFields, Field};

use super::Fields;

impl brownout_fault::Fields for Fields {
    fn walk<'f>(&'f self, visit: &mut dyn FnMut(&'f [u8], &'f [u8]) -> ControlFlow<()>) {
        for (name, value) in self.iter() {
            if visit(name, value).is_break() {
                return;
            }
        }
    }

    fn first<'f>(&'f self, name: &str) -> Option<&'f [u8]> {
        self.get(name)
    }
}

impl EditFields for Fields {
    fn remove(&mut self, name: &str) {
        self.remove(name);
    }

    fn set(&mut self, field: &Field) {
        self.set(&field.name, &field.value);
    }

    fn append(&mut self, field: &Field) {
        self.append(&field.name, &field.value);
    }
}
