//! A writer's schema as the types that its bodies consist of.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{Name, RecordSchema};

use super::Undecodable;

/// A schema that events were written with.
#[derive(Debug)]
pub struct WriterSchema {
    /// Fields of the event's record, in the writer's order.
    pub(super) fields: Vec<(Option<Field>, TypeId)>,
    types: Vec<Type>,
}

/// A field of the reader's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    EventId,
    CustomerId,
    EventType,
    ProductId,
    EventTimestamp,
}

/// Place of a type in its schema, so that a type can hold itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct TypeId(usize);

/// What a body's bytes are. Logical types are the types below them.
#[derive(Debug)]
pub(super) enum Type {
    Null,
    /// A record or fixed of no bytes.
    Nothing,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed {
        bytes: usize,
    },
    Enum {
        symbols: usize,
    },
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Vec<TypeId>),
}

impl WriterSchema {
    /// Reads a schema as the registry gives it.
    pub fn parse(text: &str) -> Result<Self, Undecodable> {
        let unreadable = |reason: String| Undecodable::Schema(reason);
        let mut json = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        strip_logical_types(&mut json);
        let record = match Schema::parse(&json).map_err(|error| unreadable(error.to_string()))? {
            Schema::Record(record) => record,
            other => {
                let kind = apache_avro::schema::SchemaKind::from(&other);
                return Err(Undecodable::NotARecord(format!("{kind:?}")));
            }
        };
        let mut builder = Builder::default();
        let TypeId(whole) = builder.record(&record, &None)?;
        let types = builder.types;
        let fields = match &types[whole] {
            Type::Record(fields) => fields.clone(),
            _ => vec![],
        };
        let wanted = record.fields.iter().map(|field| Field::named(&field.name));
        Ok(Self { fields: wanted.zip(fields).collect(), types })
    }

    pub(super) fn get(&self, TypeId(place): TypeId) -> &Type {
        &self.types[place]
    }
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        [Self::EventId, Self::CustomerId, Self::EventType, Self::ProductId, Self::EventTimestamp]
            .into_iter()
            .find(|field| field.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::EventId => "event_id",
            Self::CustomerId => "customer_id",
            Self::EventType => "event_type",
            Self::ProductId => "product_id",
            Self::EventTimestamp => "event_timestamp",
        }
    }
}

impl Type {
    /// Its name, for messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Nothing => "a type without content",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
            Self::Fixed { .. } => "fixed",
            Self::Enum { .. } => "enum",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Record(_) => "record",
        }
    }
}

/// A string is a string whether or not it is a UUID: what counts is the type below.
fn strip_logical_types(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(map) => {
            map.remove("logicalType");
            map.values_mut().for_each(strip_logical_types);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(strip_logical_types),
        _ => {}
    }
}

#[derive(Default)]
struct Builder {
    types: Vec<Type>,
    named: HashMap<Name, TypeId>,
}

type Namespace = Option<String>;

impl Builder {
    fn add(&mut self, found: Type) -> TypeId {
        self.types.push(found);
        TypeId(self.types.len() - 1)
    }

    fn add_named(&mut self, name: &Name, within: &Namespace, found: Type) -> TypeId {
        let id = self.add(found);
        self.named.insert(name.fully_qualified_name(within), id);
        id
    }

    fn record(&mut self, record: &RecordSchema, within: &Namespace) -> Result<TypeId, Undecodable> {
        let within = &record.name.fully_qualified_name(within).namespace;
        // Its place comes before its fields, which may name it.
        let id = self.add_named(&record.name, within, Type::Record(vec![]));
        let fields = record.fields.iter().map(|field| self.build(&field.schema, within));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        let empty = |TypeId(place): &TypeId| matches!(self.types[*place], Type::Null | Type::Nothing);
        self.types[id.0] = if fields.iter().all(empty) { Type::Nothing } else { Type::Record(fields) };
        Ok(id)
    }

    fn build(&mut self, schema: &Schema, within: &Namespace) -> Result<TypeId, Undecodable> {
        let found = match schema {
            Schema::Null => Type::Null,
            Schema::Boolean => Type::Boolean,
            Schema::Int => Type::Int,
            Schema::Long => Type::Long,
            Schema::Float => Type::Float,
            Schema::Double => Type::Double,
            Schema::Bytes => Type::Bytes,
            Schema::String => Type::String,
            Schema::Array(array) => Type::Array(self.build(&array.items, within)?),
            Schema::Map(map) => Type::Map(self.build(&map.types, within)?),
            Schema::Union(union) => {
                let branches = union.variants().iter().map(|branch| self.build(branch, within));
                Type::Union(branches.collect::<Result<_, _>>()?)
            }
            Schema::Fixed(fixed) => {
                let found = if fixed.size == 0 { Type::Nothing } else { Type::Fixed { bytes: fixed.size } };
                return Ok(self.add_named(&fixed.name, within, found));
            }
            Schema::Enum(symbols) => {
                let found = Type::Enum { symbols: symbols.symbols.len() };
                return Ok(self.add_named(&symbols.name, within, found));
            }
            Schema::Record(record) => return self.record(record, within),
            Schema::Ref { name } => {
                let name = name.fully_qualified_name(within);
                let known = self.named.get(&name).copied();
                return known.ok_or_else(|| Undecodable::Schema(format!("it names no type {name}")));
            }
            other => {
                let kind = apache_avro::schema::SchemaKind::from(other);
                return Err(Undecodable::Schema(format!("the type {kind:?} is not known")));
            }
        };
        Ok(self.add(found))
    }
}
