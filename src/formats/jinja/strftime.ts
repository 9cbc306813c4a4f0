/** Python's `strftime` in the C locale. */
import { replaceMatches } from './builder';
import { spendSteps } from './fuel';

const MONTHS = 'January February March April May June July August September October November December'.split(' ');
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');
const DAY_MILLISECONDS = 24 * 60 * 60 * 1000;

/** `-` leaves out what pads a number, `_` pads with spaces, `0` with zeros, `^` gives capitals: glibc's flags. */
const DIRECTIVE = /%([-_0^#]?)([%A-Za-z])/g;

export function strftime(date: Date, format: string): string {
  return replaceMatches(format, DIRECTIVE, ([directive, flag = '', letter = '']) => {
    spendSteps(4);
    const value = describe(date, letter);
    if (value === undefined) return directive;
    if (typeof value === 'string') return flag === '^' ? value.toUpperCase() : value;
    const [number, width, padding] = value;
    if (flag === '-') return String(number);
    return String(number).padStart(width, flag === '_' ? ' ' : flag === '0' ? '0' : padding);
  });
}

type Padded = readonly [number: number, width: number, padding: ' ' | '0'];

function describe(date: Date, letter: string): string | Padded | undefined {
  const two = (number: number): Padded => [number, 2, '0'];
  const combine = (format: string) => strftime(date, format);
  const [month, day] = [MONTHS[date.getMonth()] ?? '', DAYS[date.getDay()] ?? ''];
  const year = date.getFullYear();
  const hour = date.getHours();
  const dayOfYear = daysBetween(new Date(year, 0, 1), date);
  switch (letter) {
    case '%':
      return '%';
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'Y':
      return String(year);
    case 'C':
      return two(Math.floor(year / 100));
    case 'y':
      return two(year % 100);
    case 'm':
      return two(date.getMonth() + 1);
    case 'd':
      return two(date.getDate());
    case 'e':
      return [date.getDate(), 2, ' '];
    case 'B':
      return month;
    case 'b':
    case 'h':
      return month.slice(0, 3);
    case 'A':
      return day;
    case 'a':
      return day.slice(0, 3);
    case 'w':
      return String(date.getDay());
    case 'u':
      return String(date.getDay() || 7);
    case 'j':
      return [dayOfYear + 1, 3, '0'];
    case 'U':
      return two(Math.floor((dayOfYear + 7 - date.getDay()) / 7));
    case 'W':
      return two(Math.floor((dayOfYear + 7 - ((date.getDay() + 6) % 7)) / 7));
    case 'G':
      return String(isoWeek(date).year);
    case 'V':
      return two(isoWeek(date).week);
    case 'H':
      return two(hour);
    case 'k':
      return [hour, 2, ' '];
    case 'I':
      return two(hour % 12 || 12);
    case 'l':
      return [hour % 12 || 12, 2, ' '];
    case 'M':
      return two(date.getMinutes());
    case 'S':
      return two(date.getSeconds());
    case 'f':
      return [date.getMilliseconds() * 1000, 6, '0'];
    case 'p':
      return hour < 12 ? 'AM' : 'PM';
    case 's':
      return String(Math.floor(date.getTime() / 1000));
    case 'z':
    case 'Z':
      return '';
    case 'D':
    case 'x':
      return combine('%m/%d/%y');
    case 'F':
      return combine('%Y-%m-%d');
    case 'T':
    case 'X':
      return combine('%H:%M:%S');
    case 'R':
      return combine('%H:%M');
    case 'r':
      return combine('%I:%M:%S %p');
    case 'c':
      return combine('%a %b %e %H:%M:%S %Y');
    default:
      return undefined;
  }
}

/** Whole days of the calendar from one date to another. */
function daysBetween(from: Date, to: Date): number {
  const day = (date: Date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  return Math.round((day(to) - day(from)) / DAY_MILLISECONDS);
}

/** The week by ISO 8601, which belongs to the year of its Thursday. */
function isoWeek(date: Date): { year: number; week: number } {
  const thursday = new Date(date.getFullYear(), date.getMonth(), date.getDate() + 4 - (date.getDay() || 7));
  const year = thursday.getFullYear();
  return { year, week: Math.floor(daysBetween(new Date(year, 0, 1), thursday) / 7) + 1 };
}
