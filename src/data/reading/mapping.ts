/** Which column of a file is which field of a row, where the user says so (`dataset_mapping`). */
import { GraftError } from '../../core/errors';
import { nearest } from '../../core/nearest';
import { isRowField, ROW_FIELDS } from '../examples/formats';
import { setOwn, type RowValue } from '../examples/fields';
import { listNames } from '../left-out';

/** Columns by field: their names, or their places, counted from 1, in a table whose first line is a row. */
export type ColumnMapping = Readonly<Record<string, string | number>>;

/** Whether the mapping goes by places, and so whether a table's first line has no names. @throws `bad-config` where it mixes them, or names no field */
export function goesByPlaces(mapping: ColumnMapping): boolean {
  const unknown = Object.keys(mapping).find((field) => !isRowField(field));
  if (unknown !== undefined) {
    throw new GraftError(
      'bad-config',
      `dataset_mapping has ${listNames([unknown])}, which no format of a dataset uses; the nearest field is ${nearest(unknown, ROW_FIELDS)}.`,
    );
  }
  const columns = Object.values(mapping).map(String);
  const twice = columns.find((column, i) => columns.indexOf(column) < i);
  if (twice !== undefined) {
    throw new GraftError(
      'bad-config',
      `dataset_mapping takes two fields from the column ${listNames([twice])}: one column is one field.`,
    );
  }
  const places = Object.values(mapping).filter((column) => typeof column === 'number').length;
  if (places > 0 && places < Object.keys(mapping).length) {
    throw new GraftError(
      'bad-config',
      'dataset_mapping has names of columns and places of columns: give names, or places where the first line of a table is a row.',
    );
  }
  return places > 0;
}

/** The row by its fields. What the mapping doesn't name is kept under a name that no format uses. */
export function mapRow(row: RowValue, mapping: ColumnMapping): RowValue {
  const mapped: Record<string, unknown> = {};
  const columns = new Map(Object.entries(mapping).map(([field, column]) => [String(column), field]));
  for (const [column, value] of Object.entries(row)) {
    const field = columns.get(column);
    setOwn(mapped, field ?? `column ${column}`, value);
  }
  return mapped;
}

/** @throws `bad-data` where a column that is mapped is in no row */
export function checkColumns(fileName: string, mapping: ColumnMapping, columns: ReadonlySet<string>): void {
  const missing = Object.values(mapping).find((column) => !columns.has(String(column)));
  if (missing === undefined) return;
  throw new GraftError(
    'bad-data',
    `${fileName} has no column ${listNames([String(missing)])}, which dataset_mapping names; it has ${listNames([...columns])}.`,
  );
}
