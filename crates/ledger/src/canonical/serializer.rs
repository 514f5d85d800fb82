//! The serde side of the canonical writer: what each shape of a Rust value becomes.
//!
//! The shapes are those of `serde_json`: an enum is a string or an object with one member, a map
//! key is text, `None` is `null`.

use std::borrow::Cow;

use serde::ser::{self, Serialize, Serializer};

use super::{CanonicalError, Object, Writer, transcode};

/// The name under which `serde_json` passes a `RawValue` through a serializer.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = CanonicalError;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Items<'a>;
    type SerializeTupleVariant = Items<'a>;
    type SerializeMap = Members<'a>;
    type SerializeStruct = Members<'a>;
    type SerializeStructVariant = Members<'a>;

    fn serialize_bool(self, v: bool) -> Result<(), CanonicalError> {
        self.out
            .extend_from_slice(if v { b"true" } else { b"false" });
        Ok(())
    }
    fn serialize_i8(self, v: i8) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_i16(self, v: i16) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_i32(self, v: i32) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_i64(self, v: i64) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_u8(self, v: u8) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_u16(self, v: u16) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_u32(self, v: u32) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_u64(self, v: u64) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_f32(self, v: f32) -> Result<(), CanonicalError> {
        self.float(v.into())
    }
    fn serialize_f64(self, v: f64) -> Result<(), CanonicalError> {
        self.float(v)
    }
    fn serialize_char(self, v: char) -> Result<(), CanonicalError> {
        self.string(v.encode_utf8(&mut [0; 4]));
        Ok(())
    }
    fn serialize_str(self, v: &str) -> Result<(), CanonicalError> {
        self.string(v);
        Ok(())
    }
    fn serialize_bytes(self, v: &[u8]) -> Result<(), CanonicalError> {
        self.collect_seq(v)
    }
    fn serialize_none(self) -> Result<(), CanonicalError> {
        self.serialize_unit()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CanonicalError> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), CanonicalError> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), CanonicalError> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), CanonicalError> {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        let mut object = Object::open(self)?;
        object.name(self, Cow::Borrowed(variant));
        value.serialize(&mut *self)?;
        object.value_done(self);
        object.close(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, CanonicalError> {
        self.enter(b'[')?;
        Ok(Items {
            writer: self,
            first: true,
            variant: None,
        })
    }
    fn serialize_tuple(self, len: usize) -> Result<Items<'a>, CanonicalError> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_struct(
        self,
        _: &'static str,
        len: usize,
    ) -> Result<Items<'a>, CanonicalError> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'a>, CanonicalError> {
        let mut object = Object::open(self)?;
        object.name(self, Cow::Borrowed(variant));
        self.enter(b'[')?;
        Ok(Items {
            writer: self,
            first: true,
            variant: Some(object),
        })
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Members<'a>, CanonicalError> {
        let object = Object::open(self)?;
        Ok(Members {
            writer: self,
            object,
            variant: None,
            raw: false,
        })
    }
    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Members<'a>, CanonicalError> {
        let mut members = self.serialize_map(Some(len))?;
        members.raw = name == RAW_VALUE;
        Ok(members)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Members<'a>, CanonicalError> {
        let mut outer = Object::open(self)?;
        outer.name(self, Cow::Borrowed(variant));
        let mut members = self.serialize_map(Some(len))?;
        members.variant = Some(outer);
        Ok(members)
    }
}

/// An array that is being written.
pub(super) struct Items<'a> {
    writer: &'a mut Writer,
    first: bool,
    /// The object around the array, for a tuple variant.
    variant: Option<Object>,
}

impl Items<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        if !std::mem::take(&mut self.first) {
            self.writer.out.push(b',');
        }
        value.serialize(&mut *self.writer)
    }

    fn finish(self) -> Result<(), CanonicalError> {
        self.writer.leave(b']');
        match self.variant {
            None => Ok(()),
            Some(mut object) => {
                object.value_done(self.writer);
                object.close(self.writer)
            }
        }
    }
}

impl ser::SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), CanonicalError> {
        self.item(v)
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}

impl ser::SerializeTuple for Items<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), CanonicalError> {
        self.item(v)
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}

impl ser::SerializeTupleStruct for Items<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), CanonicalError> {
        self.item(v)
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}

impl ser::SerializeTupleVariant for Items<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), CanonicalError> {
        self.item(v)
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}

/// An object that is being written through serde.
pub(super) struct Members<'a> {
    writer: &'a mut Writer,
    object: Object,
    /// The object around this one, for a struct variant.
    variant: Option<Object>,
    /// Whether this is not an object at all but a JSON text in disguise.
    raw: bool,
}

impl Members<'_> {
    fn member<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        if self.raw {
            let text = serde_json::to_value(value).map_err(ser::Error::custom)?;
            let text = text
                .as_str()
                .ok_or_else(|| ser::Error::custom("a raw value is no text"))?;
            // The text takes the place of the object, whose bracket was written already.
            self.writer.out.truncate(self.object.start - 1);
            self.writer.depth -= 1;
            return transcode(text.as_bytes(), self.writer);
        }
        self.object.name(self.writer, Cow::Borrowed(name));
        value.serialize(&mut *self.writer)?;
        self.object.value_done(self.writer);
        Ok(())
    }

    fn finish(self) -> Result<(), CanonicalError> {
        if self.raw {
            return Ok(());
        }
        self.object.close(self.writer)?;
        match self.variant {
            None => Ok(()),
            Some(mut outer) => {
                outer.value_done(self.writer);
                outer.close(self.writer)
            }
        }
    }
}

impl ser::SerializeMap for Members<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CanonicalError> {
        let name = match serde_json::to_value(key) {
            Ok(serde_json::Value::String(name)) => name,
            Ok(serde_json::Value::Number(number)) if !number.is_f64() => number.to_string(),
            _ => return Err(CanonicalError::NameNotText),
        };
        self.object.name(self.writer, Cow::Owned(name));
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), CanonicalError> {
        v.serialize(&mut *self.writer)?;
        self.object.value_done(self.writer);
        Ok(())
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}

impl ser::SerializeStruct for Members<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        v: &T,
    ) -> Result<(), CanonicalError> {
        self.member(name, v)
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}

impl ser::SerializeStructVariant for Members<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        v: &T,
    ) -> Result<(), CanonicalError> {
        self.member(name, v)
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}
