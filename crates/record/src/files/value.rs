//! What containers hold, whatever their format: numbers, texts, lists and named parts.

use ndarray::Array2;

/// A part of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing, or nothing that can be read.
    #[default]
    Nothing,
    /// Numbers in rows.
    Numbers(Numbers),
    /// A text.
    Text(String),
    /// Several parts in order.
    List(Vec<Self>),
    /// Named parts in order.
    Map(Vec<(String, Self)>),
}

/// An array of numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers {
    /// The lengths of its axes; none for a single number.
    pub shape: Vec<usize>,
    /// Its numbers, the last axis fastest.
    pub values: Vec<f64>,
}

impl Value {
    /// A row of numbers.
    pub fn row(values: Vec<f64>) -> Self {
        Self::Numbers(Numbers { shape: vec![values.len()], values })
    }

    /// A matrix `[row, column]`.
    pub fn of_matrix(matrix: &Array2<f64>) -> Self {
        let shape = vec![matrix.nrows(), matrix.ncols()];
        Self::Numbers(Numbers { shape, values: matrix.iter().copied().collect() })
    }

    /// Named parts.
    pub fn map<'a>(parts: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Map(parts.into_iter().map(|(name, part)| (name.to_owned(), part)).collect())
    }

    /// A list of texts.
    pub fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::List(texts.into_iter().map(|text| Self::Text(text.to_owned())).collect())
    }

    /// A single number.
    pub fn number(value: f64) -> Self {
        Self::Numbers(Numbers { shape: Vec::new(), values: vec![value] })
    }

    /// The part at `path`, such as `gcamp/traces`; an empty path is the value itself.
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(self, |value, name| match value {
            Self::Map(parts) => parts.iter().find(|(other, _)| other == name).map(|(_, v)| v),
            Self::List(parts) => name.parse::<usize>().ok().and_then(|at| parts.get(at)),
            _ => None,
        })
    }

    /// Its numbers, if it holds numbers; an empty list counts as none.
    pub fn numbers(&self) -> Option<&Numbers> {
        match self {
            Self::Numbers(numbers) => Some(numbers),
            _ => None,
        }
    }

    /// Its numbers in order whatever their shape; lists of single numbers count.
    pub fn vector(&self) -> Option<Vec<f64>> {
        match self {
            Self::Numbers(numbers) => Some(numbers.values.clone()),
            Self::List(parts) => parts.iter().map(Self::scalar).collect(),
            _ => None,
        }
    }

    /// Its only number.
    pub fn scalar(&self) -> Option<f64> {
        match self {
            Self::Numbers(numbers) if numbers.values.len() == 1 => Some(numbers.values[0]),
            Self::Nothing => Some(f64::NAN),
            _ => None,
        }
    }

    /// Its numbers as a matrix `[row, column]`: two axes longer than one, or a list of equal rows.
    pub fn matrix(&self) -> Option<Array2<f64>> {
        match self {
            Self::Numbers(numbers) => numbers.matrix(),
            Self::List(parts) => {
                let rows: Vec<Vec<f64>> = parts.iter().map(Self::vector).collect::<Option<_>>()?;
                let columns = rows.first()?.len();
                if rows.iter().any(|row| row.len() != columns) {
                    return None;
                }
                Array2::from_shape_vec((rows.len(), columns), rows.concat()).ok()
            }
            _ => None,
        }
    }

    /// Its text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::List(parts) if parts.len() == 1 => parts[0].text(),
            _ => None,
        }
    }

    /// Its parts in order; anything but a list is a list of itself.
    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(parts) => parts,
            Self::Nothing => &[],
            one => std::slice::from_ref(one),
        }
    }

    /// The names of its parts.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Map(parts) => parts.iter().map(|(name, _)| name.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// What it is, in a few words, for messages.
    pub fn kind(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Numbers(numbers) if numbers.shape.is_empty() => "a number".to_owned(),
            Self::Numbers(numbers) => {
                let shape: Vec<String> = numbers.shape.iter().map(ToString::to_string).collect();
                format!("numbers {}", shape.join(" × "))
            }
            Self::Text(_) => "text".to_owned(),
            Self::List(parts) => format!("a list of {}", parts.len()),
            Self::Map(parts) => format!("{} named parts", parts.len()),
        }
    }

    /// Every path in it with what is there, at most `most` of them.
    pub fn paths(&self, most: usize) -> Vec<(String, String)> {
        let mut found = Vec::new();
        self.collect_paths("", most, &mut found);
        found
    }

    fn collect_paths(&self, prefix: &str, most: usize, found: &mut Vec<(String, String)>) {
        let Self::Map(parts) = self else { return };
        for (name, part) in parts {
            if found.len() >= most {
                return;
            }
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            found.push((path.clone(), part.kind()));
            part.collect_paths(&path, most, found);
        }
    }
}

impl Numbers {
    /// An array of `shape` from numbers that lie as MATLAB and Fortran lay them, first axis fastest.
    ///
    /// `None` when there are more or fewer numbers than the shape tells.
    pub fn column_major(shape: Vec<usize>, values: Vec<f64>) -> Option<Self> {
        let count = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
        if count != values.len() {
            return None;
        }
        let axes = shape.iter().filter(|&&length| length > 1).count();
        if axes < 2 {
            return Some(Self { shape, values });
        }
        // Row-major order visits the last axis fastest; its step in the source is the largest.
        let steps: Vec<usize> = shape
            .iter()
            .scan(1, |step, &length| {
                let this = *step;
                *step *= length;
                Some(this)
            })
            .collect();
        let mut place = vec![0; shape.len()];
        let mut from = 0;
        let mut turned = Vec::with_capacity(count);
        for _ in 0..count {
            turned.push(values[from]);
            for axis in (0..shape.len()).rev() {
                place[axis] += 1;
                from += steps[axis];
                if place[axis] < shape[axis] {
                    break;
                }
                from -= steps[axis] * shape[axis];
                place[axis] = 0;
            }
        }
        Some(Self { shape, values: turned })
    }

    /// As a matrix: the two axes longer than one, or a column.
    pub fn matrix(&self) -> Option<Array2<f64>> {
        let mut shape: Vec<usize> = self.shape.clone();
        while shape.len() > 2 {
            let one = shape.iter().position(|&length| length == 1)?;
            shape.remove(one);
        }
        let (rows, columns) = match shape[..] {
            [] => (1, 1),
            [rows] => (rows, 1),
            [rows, columns] => (rows, columns),
            _ => return None,
        };
        Array2::from_shape_vec((rows, columns), self.values.clone()).ok()
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn columns_first_becomes_rows_first() {
        let numbers = Numbers::column_major(vec![2, 3], vec![0., 1., 2., 3., 4., 5.]);
        assert_eq!(numbers.expect("fits").values, [0., 2., 4., 1., 3., 5.]);
        let cube: Vec<f64> = (0..24).map(f64::from).collect();
        let numbers = Numbers::column_major(vec![2, 3, 4], cube).expect("fits");
        // Element (i, j, k) lies at i + 2 j + 6 k.
        assert_eq!(numbers.values[12 + 2 * 4 + 3], 1.0 + 2.0 * 2.0 + 6.0 * 3.0);
        assert!(Numbers::column_major(vec![2, 2], vec![0.0]).is_none());
        assert!(Numbers::column_major(vec![usize::MAX, 4], vec![0.0]).is_none());
    }

    #[test]
    fn parts_are_found_by_path() {
        let inner = Value::Map(vec![("b".into(), Value::List(vec![Value::number(7.0)]))]);
        let tree = Value::Map(vec![("a".into(), inner), ("c".into(), Value::Text("x".into()))]);
        assert_eq!(tree.at("a/b/0").and_then(Value::scalar), Some(7.0));
        assert_eq!(tree.at("a/x"), None);
        let paths: Vec<String> = tree.paths(10).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a", "a/b", "c"]);
        assert_eq!(tree.paths(1).len(), 1);
    }

    #[test]
    fn matrices_come_from_arrays_and_from_lists_of_rows() {
        let flat = Value::Numbers(Numbers { shape: vec![1, 2, 3], values: vec![0.0; 6] });
        assert_eq!(flat.matrix().expect("two axes").dim(), (2, 3));
        let row = |values: &[f64]| {
            Value::Numbers(Numbers { shape: vec![values.len()], values: values.to_vec() })
        };
        let rows = Value::List(vec![row(&[1.0, 2.0]), row(&[3.0, 4.0])]);
        assert_eq!(rows.matrix().expect("equal rows")[[1, 0]], 3.0);
        let ragged = Value::List(vec![row(&[1.0, 2.0]), row(&[3.0])]);
        assert!(ragged.matrix().is_none());
    }
}
