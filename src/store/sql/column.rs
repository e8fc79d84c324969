//! What passes between a verb and an engine: integers, text, bytes.

/// A value in a row, or one that is bound to a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column<'a> {
    /// Nothing.
    Null,
    /// A number, a time, money or a yes or no.
    Integer(i64),
    /// Words, and JSON as it was written.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

/// What can be bound to a statement.
pub(in crate::store) trait Param {
    fn column(&self) -> Column<'_>;
}

impl Param for i64 {
    fn column(&self) -> Column<'_> {
        Column::Integer(*self)
    }
}

impl Param for u32 {
    fn column(&self) -> Column<'_> {
        Column::Integer(i64::from(*self))
    }
}

impl Param for bool {
    fn column(&self) -> Column<'_> {
        Column::Integer(i64::from(*self))
    }
}

impl Param for str {
    fn column(&self) -> Column<'_> {
        Column::Text(self)
    }
}

impl Param for String {
    fn column(&self) -> Column<'_> {
        Column::Text(self)
    }
}

impl Param for [u8] {
    fn column(&self) -> Column<'_> {
        Column::Blob(self)
    }
}

impl<const N: usize> Param for [u8; N] {
    fn column(&self) -> Column<'_> {
        Column::Blob(self)
    }
}

impl<T: Param> Param for Option<T> {
    fn column(&self) -> Column<'_> {
        self.as_ref().map_or(Column::Null, Param::column)
    }
}

impl Param for Column<'_> {
    fn column(&self) -> Column<'_> {
        *self
    }
}

impl<T: Param + ?Sized> Param for &T {
    fn column(&self) -> Column<'_> {
        (**self).column()
    }
}

/// What is bound to one statement.
pub(in crate::store) trait Params {
    fn columns(&self) -> Vec<Column<'_>>;
}

impl<T: Param, const N: usize> Params for [T; N] {
    fn columns(&self) -> Vec<Column<'_>> {
        self.iter().map(Param::column).collect()
    }
}

impl Params for () {
    fn columns(&self) -> Vec<Column<'_>> {
        Vec::new()
    }
}

impl<T: Param> Params for &[T] {
    fn columns(&self) -> Vec<Column<'_>> {
        self.iter().map(Param::column).collect()
    }
}

/// Values of several types for one statement.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        [$(&$value as &dyn $crate::store::sql::column::Param),*]
    };
}
pub(in crate::store) use params;

/// What can be read from a row.
pub(in crate::store) trait FromColumn: Sized {
    /// None where it is something else.
    fn from_column(column: Column<'_>) -> Option<Self>;
}

impl FromColumn for i64 {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if let Column::Integer(number) = column { Some(number) } else { None }
    }
}

impl FromColumn for u32 {
    fn from_column(column: Column<'_>) -> Option<Self> {
        i64::from_column(column).and_then(|number| Self::try_from(number).ok())
    }
}

impl FromColumn for bool {
    fn from_column(column: Column<'_>) -> Option<Self> {
        i64::from_column(column).map(|number| number != 0)
    }
}

impl FromColumn for String {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if let Column::Text(text) = column { Some(text.to_owned()) } else { None }
    }
}

impl FromColumn for Vec<u8> {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if let Column::Blob(bytes) = column { Some(bytes.to_vec()) } else { None }
    }
}

impl<const N: usize> FromColumn for [u8; N] {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if let Column::Blob(bytes) = column { bytes.try_into().ok() } else { None }
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if column == Column::Null { Some(None) } else { T::from_column(column).map(Some) }
    }
}
