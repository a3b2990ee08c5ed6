//! Reads the bytes of a body. Nothing is copied or allocated, and the work grows with the bytes only.

use super::Undecodable;
use super::writer::{Field, Type, TypeId, WriterSchema};

/// Types within types, a recursive record's values included. Below that a body could overflow the stack.
const DEEPEST: usize = 64;

/// Items without content that an array may claim to hold: they take no bytes, so a few could claim any number.
const MOST_EMPTY_ITEMS: u64 = 1 << 20;

/// What is left of a body.
#[derive(Debug)]
pub(super) struct Body<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Body<'a> {
    /// A string, or null. Avro promotes bytes to string.
    pub(super) fn text(
        &mut self,
        field: Field,
        id: TypeId,
        schema: &WriterSchema,
    ) -> Result<Option<&'a str>, Undecodable> {
        match schema.get(id) {
            Type::Null => Ok(None),
            Type::String => self.string().map(Some),
            Type::Bytes => std::str::from_utf8(self.bytes()?)
                .map(Some)
                .map_err(|_| unresolved(field, "bytes that are not UTF-8", "string")),
            Type::Union(branches) => {
                let branch = self.branch(branches)?;
                self.text(field, branch, schema)
            }
            other => Err(unresolved(field, other.name(), "string")),
        }
    }

    /// An int, or null.
    pub(super) fn int_or_null(
        &mut self,
        field: Field,
        id: TypeId,
        schema: &WriterSchema,
    ) -> Result<Option<i32>, Undecodable> {
        match schema.get(id) {
            Type::Null => Ok(None),
            Type::Int => self.int().map(Some),
            Type::Union(branches) => {
                let branch = self.branch(branches)?;
                self.int_or_null(field, branch, schema)
            }
            other => Err(unresolved(field, other.name(), "int")),
        }
    }

    /// Passes over a value that the reader does not know, as strict as if it were read.
    pub(super) fn skip(&mut self, id: TypeId, schema: &WriterSchema) -> Result<(), Undecodable> {
        self.skip_below(id, schema, 0)
    }

    fn skip_below(&mut self, id: TypeId, schema: &WriterSchema, depth: usize) -> Result<(), Undecodable> {
        if depth > DEEPEST {
            return Err(mismatch(format!("its types nest deeper than {DEEPEST}")));
        }
        match schema.get(id) {
            Type::Null | Type::Nothing => Ok(()),
            Type::Boolean => match self.take(1)? {
                [0 | 1] => Ok(()),
                other => Err(mismatch(format!("{other:?} is not a boolean"))),
            },
            Type::Int => self.int().map(drop),
            Type::Long => self.long().map(drop),
            Type::Float => self.take(4).map(drop),
            Type::Double => self.take(8).map(drop),
            Type::Bytes => self.bytes().map(drop),
            Type::String => self.string().map(drop),
            Type::Fixed { bytes } => self.take(*bytes).map(drop),
            Type::Enum { symbols } => {
                let index = self.int()?;
                usize::try_from(index)
                    .is_ok_and(|index| index < *symbols)
                    .then_some(())
                    .ok_or_else(|| mismatch(format!("an enum of {symbols} symbols has no symbol {index}")))
            }
            Type::Array(item) => {
                let empty = matches!(schema.get(*item), Type::Null | Type::Nothing);
                self.blocks(|body, items| match (empty, items) {
                    (true, ..=MOST_EMPTY_ITEMS) => Ok(()),
                    (true, _) => Err(mismatch(format!("an array claims {items} items without content"))),
                    (false, _) => (0..items).try_for_each(|_| body.skip_below(*item, schema, depth + 1)),
                })
            }
            Type::Map(value) => self.blocks(|body, items| {
                (0..items).try_for_each(|_| {
                    body.string()?;
                    body.skip_below(*value, schema, depth + 1)
                })
            }),
            Type::Union(branches) => {
                let branch = self.branch(branches)?;
                self.skip_below(branch, schema, depth + 1)
            }
            Type::Record(fields) => {
                fields.iter().try_for_each(|field| self.skip_below(*field, schema, depth + 1))
            }
        }
    }

    /// The blocks of an array or a map, each with its number of items.
    fn blocks(
        &mut self,
        mut pass: impl FnMut(&mut Self, u64) -> Result<(), Undecodable>,
    ) -> Result<(), Undecodable> {
        loop {
            let items = self.long()?;
            match items {
                0 => return Ok(()),
                // Its size in bytes follows, for readers that trust it.
                ..0 => drop(self.long()?),
                _ => {}
            }
            pass(self, items.unsigned_abs())?;
        }
    }

    fn branch(&mut self, branches: &[TypeId]) -> Result<TypeId, Undecodable> {
        let index = self.long()?;
        let branch = usize::try_from(index).ok().and_then(|index| branches.get(index));
        branch
            .copied()
            .ok_or_else(|| mismatch(format!("a union of {} has no branch {index}", branches.len())))
    }

    fn string(&mut self) -> Result<&'a str, Undecodable> {
        std::str::from_utf8(self.bytes()?).map_err(|_| mismatch("a string is not UTF-8".to_owned()))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Undecodable> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(mismatch(format!("a length is {length}"))),
        }
    }

    fn int(&mut self) -> Result<i32, Undecodable> {
        let long = self.long()?;
        i32::try_from(long).map_err(|_| mismatch(format!("{long} is not an int")))
    }

    /// A number of variable length, zigzag.
    fn long(&mut self) -> Result<i64, Undecodable> {
        let mut bits = 0_u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            bits |= u64::from(byte & 0x7f) << (index * 7);
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
        }
        Err(if self.rest.len() < 10 {
            Undecodable::Truncated
        } else {
            mismatch("a number takes more than 10 bytes".to_owned())
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Undecodable> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Undecodable::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn mismatch(reason: String) -> Undecodable {
    Undecodable::Body(reason)
}

fn unresolved(field: Field, found: &'static str, wanted: &'static str) -> Undecodable {
    Undecodable::Field { field: field.name(), found, wanted }
}
