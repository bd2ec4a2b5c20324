//! A field of a topic, as expressions name it: `acceleration.x`, `covariance[0]`, `poses[?].position.z`.

use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Fields;
use arrow::datatypes::Schema;

/// Which elements of a list are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    Index(usize),
    Every,
}

/// One name of a path, and which elements of the list it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldStep {
    pub name: String,
    pub element: Option<Element>,
}

/// The path behind a tag. What is wrong with it the server has said before: odd specifiers mean every element here.
pub fn steps(path: &str) -> Vec<FieldStep> {
    let step = |text: &str| match text.split_once('[') {
        None => FieldStep { name: text.to_owned(), element: None },
        Some((name, rest)) => {
            let index = rest.trim_end_matches(']').parse().map_or(Element::Every, Element::Index);
            FieldStep { name: name.to_owned(), element: Some(index) }
        }
    };
    path.split('.').map(step).collect()
}

/// The fields from the top to the one that a path names; `None` when rows with this schema have no such field.
pub fn find<'a>(schema: &'a Schema, steps: &[FieldStep]) -> Option<Vec<&'a Field>> {
    let (mut fields, mut found) = (Some(schema.fields()), Vec::new());
    for FieldStep { name, element } in steps {
        let field = fields?.iter().find(|field| field.name() == name)?;
        found.push(field.as_ref());
        let inside = match element {
            Some(_) => item(field.data_type())?.data_type(),
            None => field.data_type(),
        };
        fields = children(inside);
    }
    Some(found)
}

/// The type of what a path that was found leads to.
pub fn leaf_type<'a>(found: &[&'a Field], steps: &[FieldStep]) -> Option<&'a DataType> {
    let own = found.last()?.data_type();
    match steps.last()?.element {
        Some(_) => item(own).map(|item| item.data_type()),
        None => Some(own),
    }
}

/// The element of a list.
pub fn item(list: &DataType) -> Option<&Field> {
    match list {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

fn children(own: &DataType) -> Option<&Fields> {
    match own {
        DataType::Struct(children) => Some(children),
        _ => None,
    }
}

/// Paths of a schema that are listed.
const PATHS_MAX: usize = 2000;

/// The paths of all fields, those inside others too, elements of lists as `[?]`.
pub fn paths(schema: &Schema) -> Vec<String> {
    let mut found = Vec::new();
    list(schema.fields(), "", &mut found);
    found
}

fn list(fields: &Fields, before: &str, found: &mut Vec<String>) {
    for field in fields {
        if found.len() >= PATHS_MAX {
            return;
        }
        let mut path = format!("{before}{}", field.name());
        found.push(path.clone());
        let mut inside = field.data_type();
        if let Some(item) = item(inside) {
            inside = item.data_type();
            path += "[?]";
            found.push(path.clone());
        }
        if let Some(children) = children(inside) {
            list(children, &format!("{path}."), found);
        }
    }
}

/// The one of `names` that `wanted` was probably meant to be; `None` when none is near.
///
/// Cost: the product of the lengths, for each name.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let simple = |text: &str| -> Vec<char> { text.to_lowercase().chars().take(128).collect() };
    let own = simple(wanted);
    let end = format!(".{}", wanted.to_lowercase());
    let score = |name: &'a str| {
        // What is missing in front is a common mistake: x for acceleration.x.
        let distance = match name.to_lowercase().ends_with(&end) {
            true => 1,
            false => distance(&own, &simple(name)),
        };
        (distance, name.len(), name)
    };
    let (distance, _, name) = names.map(score).min()?;
    (distance <= own.len().div_ceil(3).max(1)).then_some(name)
}

/// Insertions, deletions, replacements and swaps of neighbours that make one of the other.
fn distance(own: &[char], other: &[char]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    let cell = |rows: &[Vec<usize>], i: usize, j: usize| rows.get(i).and_then(|row| row.get(j)).copied();
    for (i, a) in own.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let far = usize::MAX / 2;
            let mut best = cell(&rows, i, j).unwrap_or(far) + usize::from(a != b);
            best = best.min(cell(&rows, i, j + 1).unwrap_or(far) + 1).min(row.last().copied().unwrap_or(far) + 1);
            if i > 0 && j > 0 && own.get(i - 1) == Some(b) && other.get(j - 1) == Some(a) {
                best = best.min(cell(&rows, i - 1, j - 1).unwrap_or(far) + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    cell(&rows, own.len(), other.len()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let x = Field::new("x", DataType::Float64, true);
        let point = DataType::Struct(vec![x.clone()].into());
        let item = Field::new("item", point.clone(), true);
        Schema::new(vec![
            Field::new("acceleration", point, true),
            Field::new("poses", DataType::List(item.into()), true),
        ])
    }

    #[test]
    fn fields_are_found_as_expressions_name_them() {
        let schema = schema();
        let leaf = |path: &str| {
            let steps = steps(path);
            find(&schema, &steps).and_then(|found| leaf_type(&found, &steps)).cloned()
        };
        assert_eq!(leaf("acceleration.x"), Some(DataType::Float64));
        assert_eq!(leaf("poses[3].x"), Some(DataType::Float64));
        assert_eq!(leaf("poses[?].x"), Some(DataType::Float64));
        assert!(matches!(leaf("poses[!]"), Some(DataType::Struct(_))));
        for missing in ["acceleration.w", "acceleration[0]", "poses.x", "x"] {
            assert_eq!(leaf(missing), None, "{missing}");
        }
        assert_eq!(paths(&schema), ["acceleration", "acceleration.x", "poses", "poses[?]", "poses[?].x"]);
    }

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        let names = ["acceleration.x", "acceleration.y", "angular_velocity.x", "temperature"];
        let near = |wanted| nearest(wanted, names.iter().copied());
        assert_eq!(near("accelaration.y"), Some("acceleration.y"));
        assert_eq!(near("Acceleration.X"), Some("acceleration.x"));
        assert_eq!(near("temprature"), Some("temperature"));
        assert_eq!(near("tempreature"), Some("temperature"));
        assert_eq!(near("y"), Some("acceleration.y"));
        assert_eq!(near("brightness"), None);
        assert_eq!(nearest("x", std::iter::empty()), None);
    }
}
